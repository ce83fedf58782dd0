package firehose

import (
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/auroralocus/locus/internal/keyring"
	"github.com/auroralocus/locus/repo"
	"github.com/auroralocus/locus/repo/mst"
)

// A ring's bound counts what its events take, also the JSON that is made of them for some subscribers: of control
// characters six times their bytes.
func TestRingCountsJSON(t *testing.T) {
	const most, n = 4 << 20, 60
	tails := &Tails{now: time.Now, cfg: Config{RingBytes: most, TotalBytes: most}.withDefaults()}
	tl := &tail{tails: tails, trail: []mark{{}}}
	tl.publish(&ring{first: 1})
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	keys, err := keyring.New(keyring.GenerateMaster(), 0)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := keys.GenerateSigningKey()
	if err != nil {
		t.Fatal(err)
	}
	first, err := repo.Init(did, repo.NewTID(at, 7), signer)
	if err != nil {
		t.Fatal(err)
	}
	write := repo.Write{Action: repo.ActionCreate, Path: "app.bsky.feed.post/3kaaaaaaaaaaa", Record: record(strings.Repeat("\x01", 50_000))}
	c, err := repo.Apply(first.Head, []repo.Write{write}, mst.Blocks{}.Load, repo.NextRev(first.Head.Rev, at), signer)
	if err != nil {
		t.Fatal(err)
	}
	for seq := range int64(n) {
		e := NewCommit(1, c, at)
		it := newItem(&Stored{Seq: seq + 1, Event: e}, time.Now())
		tl.extend([]*Item{it}, seq+1)
		for _, it := range tl.ring.Load().items {
			if _, err := it.Messages(); err != nil {
				t.Fatal(err)
			}
		}
	}
	grown := heap() - before
	kept := len(tl.ring.Load().items)
	t.Logf("%d of %d events kept, grown by %d KiB", kept, n, grown>>10)
	if grown > most*5/4 {
		t.Errorf("grown by %d bytes, the bound is %d", grown, most)
	}
	if kept < 5 || kept == n {
		t.Errorf("%d events kept", kept)
	}
	// What leaves is not counted any more.
	tl.publish(tl.shorter(tl.ring.Load()))
	tails.cfg.RingAge = -time.Hour
	tl.publish(tl.shorter(tl.ring.Load()))
	if tl.bytes != 0 || tl.decoded.Load() != 0 {
		t.Errorf("an empty ring weighs %d and %d", tl.bytes, tl.decoded.Load())
	}
}
