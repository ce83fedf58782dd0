package handlers

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/auroralocus/locus/internal/xrpc"

	"github.com/auroralocus/locus/internal/inbound"
)

// TestAnswersHaveABound: clients of one tenant that ask for large answers and do not read them get no more memory than
// there is for answers, and leave the other tenant, and other addresses of their own, enough.
func TestAnswersHaveABound(t *testing.T) {
	t.Parallel()
	const bound = xrpc.LeastAnswerMemory
	h := newHouseWith(t, houseOptions{answers: bound})
	below, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := inbound.New(below, inbound.Config{Pause: 3 * time.Second, Neighbour: func(netip.Addr) bool { return false }})
	server := &http.Server{Handler: h.server, ConnState: l.State}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	alice, bob := h.createAccount(hostA, "alice"), h.createAccount(hostB, "bob")
	for i := range 4 {
		text := strings.Repeat("x", 900_000)
		alice.create(custom, fmt.Sprint("r", i), obj{"text": text}).ok()
		bob.create(custom, fmt.Sprint("r", i), obj{"text": text}).ok()
	}
	rev := alice.read(custom, "r0").ok().str("cid")
	paths := []string{
		"com.atproto.repo.listRecords?repo=" + alice.did + "&collection=" + custom,
		"com.atproto.repo.getRecord?repo=" + alice.did + "&collection=" + custom + "&rkey=r1",
		"com.atproto.sync.getRecord?did=" + alice.did + "&collection=" + custom + "&rkey=r1",
		"com.atproto.sync.getBlocks?did=" + alice.did + "&cids=" + rev,
		"com.atproto.sync.getRepo?did=" + alice.did,
	}
	ask := func(path, host, from, more string) net.Conn {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(more, "close") {
			_ = c.(*net.TCPConn).SetReadBuffer(4 << 10)
		}
		fmt.Fprintf(c, "GET /xrpc/%s HTTP/1.1\r\nHost: %s\r\nX-Forwarded-For: %s\r\n%s\r\n", path, host, from, more)
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	for i := range 120 {
		// As many as are at work end at the least with 503 within the time that answers wait.
		ask(paths[i%len(paths)], hostA, fmt.Sprintf("203.0.113.%d", i%3), []string{"", "Accept-Encoding: gzip\r\n"}[i%2])
	}
	served := func(host, did, from string) {
		t.Helper()
		c := ask("com.atproto.repo.listRecords?repo="+did+"&collection="+custom, host, from, "Connection: close\r\n")
		_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
		answer, err := io.ReadAll(c)
		if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 200") || len(answer) < 1_800_000 {
			t.Errorf("%s at %s: %d bytes, %v: %.200s", from, host, len(answer), err, answer)
		}
	}
	most := int64(0)
	for range 10 {
		served(hostB, bob.did, "203.0.113.1")
		used := h.answers.Used()
		most = max(most, used)
		if used > bound {
			t.Errorf("answers hold %d bytes of %d", used, bound)
		}
	}
	if most < bound/4 {
		t.Errorf("the attack holds %d bytes: it shows nothing", most)
	}
	// The slow ones are cut, and all comes back.
	for end := time.Now().Add(30 * time.Second); h.answers.Used() > 0; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("answers still hold %d bytes", h.answers.Used())
		}
	}
	if _, closed := l.Open(); closed.Slow == 0 {
		t.Error("no slow reader was cut")
	}
	served(hostA, alice.did, "203.0.113.1")
}

// TestPagesOfLargeRecords: a page ends early, with the cursor that goes on behind it.
func TestPagesOfLargeRecords(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice := h.createAccount(hostA, "alice")
	cids := []string{"did", alice.did}
	for i := range 5 {
		cids = append(cids, "cids", alice.create(custom, fmt.Sprint("r", i), obj{"text": strings.Repeat(fmt.Sprint(i), 900_000)}).ok().str("cid"))
	}
	seen, cursor := 0, ""
	for page := 0; ; page++ {
		r := h.get(hostA, "com.atproto.repo.listRecords", "", "repo", alice.did, "collection", custom, "limit", "100", "cursor", cursor).ok()
		list, _ := r.json()["records"].([]any)
		if len(list) == 0 {
			break
		}
		if len(list) > 2 || page > 5 {
			t.Fatalf("page %d has %d records", page, len(list))
		}
		seen += len(list)
		cursor = r.str("cursor")
	}
	if seen != 5 {
		t.Errorf("%d of 5 records", seen)
	}
	h.get(hostA, "com.atproto.sync.getBlocks", "", cids[:8]...).ok()
	h.get(hostA, "com.atproto.sync.getBlocks", "", cids...).fails(400, "InvalidRequest", "ask for fewer at once")
}
