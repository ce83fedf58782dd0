package firehose_test

import (
	"strings"
	"testing"
	"time"

	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/internal/firehose"
)

// An event whose row is damaged is passed over, by who reads the table and by the tail. All others are sent.
func TestDamagedEvent(t *testing.T) {
	url := dbtest.URL(t)
	d := dbtest.Open(t, url)
	schema := dbtest.Tenant(t, d)
	damage := func(seq string) {
		execSQL(t, url, strings.ReplaceAll(`UPDATE s.repo_event SET payload = '\x00' WHERE seq = `+seq, "s.", schema.String()+"."))
	}
	for range 3 {
		appendEvents(t, d.Tenant(schema), firehose.NewIdentity(1, did, "a.test", time.Now()))
	}
	damage("2")
	n := newNode(t, d, newKeys(t), time.Now, firehose.Config{})
	sub, err := n.tails.Subscribe(t.Context(), schema, firehose.From{HasSeq: true})
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	next := func(want int64) {
		t.Helper()
		for {
			batch, err := sub.Next(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, it := range batch {
				if it.Seq == 2 || it.Seq == 5 {
					t.Errorf("the damaged event %d was sent", it.Seq)
				}
				if it.Seq == want {
					return
				}
			}
		}
	}
	next(3)
	execSQL(t, url, strings.ReplaceAll(`BEGIN; INSERT INTO s.repo_event (seq, aid, kind, sequenced_at, rev, seq_off, payload, time_us)
 SELECT seq + 1, aid, kind, sequenced_at, rev, seq_off, payload, time_us + 1000 FROM s.repo_event WHERE seq = 3;
 INSERT INTO s.repo_event (seq, aid, kind, sequenced_at, rev, seq_off, payload, time_us) SELECT seq + 2, aid, kind, sequenced_at, rev, 99, '\x00', time_us + 2000 FROM s.repo_event WHERE seq = 3;
 INSERT INTO s.repo_event (seq, aid, kind, sequenced_at, rev, seq_off, payload, time_us) SELECT seq + 3, aid, kind, sequenced_at, rev, seq_off, payload, time_us + 3000 FROM s.repo_event WHERE seq = 3;
 UPDATE s.stream_head SET last_seq = 6, last_us = last_us + 3000; COMMIT`, "s.", schema.String()+"."))
	next(6)
	if !n.log.has("CORRUPTION: an event is damaged") {
		t.Error("nobody was told")
	}
}
