package repodb

import (
	"slices"
	"testing"

	"github.com/auroralocus/locus/db/dbtest"
)

// A write that changes nothing acknowledges what is there, once that is durable. A connection that breaks while this is
// asked leaves nothing unknown: it is asked again.
func TestConfirmedOnAnotherConnection(t *testing.T) {
	dbtest.Plain(t, "its connections go through a proxy before one server")
	p := dbtest.NewProxy(t, dbtest.URL(t))
	d, keys := dbtest.Open(t, p.URL()), newKeys(t)
	s, schema := newStore(t, d, keys, Config{}), dbtest.Tenant(t, d)
	aid, _ := newRepo(t, d, keys, schema)
	const path = "app.bsky.feed.post/3k00000000001"
	mustWrite(t, s, schema, aid, create(path, post("x")))
	cuts := p.Cuts()
	p.CutAfterText(slices.Repeat([]string{"pg_logical_emit_message"}, 4)...) // one repetition is made of every statement that only reads
	if res := mustWrite(t, s, schema, aid, update(path, post("x"))); res.Changed {
		t.Error("changed")
	}
	if n := p.Cuts() - cuts; n != 4 {
		t.Errorf("%d connections were cut", n)
	}
	checkAll(t, s, schema)
}
