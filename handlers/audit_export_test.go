package handlers

import (
	"bufio"
	"net/http"
	"runtime"
	"strings"
	"testing"
)

// A log of any length goes through little memory, also to somebody who reads slowly.
func TestLongExport(t *testing.T) {
	h := newHouse(t)
	const lines = 60_000
	h.exec(h.a, `INSERT INTO pds.tenant_item (kind, key, created_at, label, flags, value, note, extra, info)
		SELECT 17, convert_to(lpad(to_hex(n), 16, '0') || '00000000', 'UTF8'), to_timestamp(n), 'cli:old', 4, 'old', 'did:plc:' || n,
		jsonb_build_object('note', repeat('x', 1500))::text, '["", "", "done"]'::bytea FROM generate_series(1, $1::int) n`, lines)
	for _, format := range []string{"jsonl", "csv"} {
		r, err := http.NewRequest("GET", h.http.URL+"/xrpc/"+ownAdmin+"exportAuditLog?format="+format, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = hostA
		r.SetBasicAuth("admin", adminPassword)
		res, err := h.http.Client().Do(r)
		if err != nil || res.StatusCode != 200 {
			t.Fatal(res, err)
		}
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		before, most := m.HeapAlloc, uint64(0)
		in := bufio.NewScanner(res.Body)
		n, bytes := 0, 0
		for in.Scan() {
			bytes += len(in.Bytes())
			if n++; n%5000 == 0 {
				runtime.GC() // what is left is held on to
				runtime.ReadMemStats(&m)
				most = max(most, m.HeapAlloc)
			}
		}
		res.Body.Close()
		if want := lines + strings.Count(format, "csv"); in.Err() != nil || n != want || bytes < lines*1500 {
			t.Errorf("%s: %d lines, %d bytes, %v", format, n, bytes, in.Err())
		}
		if more := int64(most) - int64(before); more > 16<<20 {
			t.Errorf("%s: %d bytes are held of an export of %d", format, more, bytes)
		}
		t.Logf("%s: %d bytes held of %d", format, int64(most)-int64(before), bytes)
	}
}
