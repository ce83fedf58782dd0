package repodb

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/repo"
)

// world is two tenants with two accounts each, written to by two processes, the
// second of which has a bad connection.
type world struct {
	t       *testing.T
	stores  [2]*Store
	url     string
	proxy   *dbtest.Proxy
	tenants [2]db.Schema
	repos   []*account
	touched *account
}

type account struct {
	schema db.Schema
	aid    int64
	did    string
	is     map[string][]byte // what must be there
	off    bool              // deactivated
}

func newWorld(t *testing.T) *world {
	dbtest.Plain(t, "two lines to one server break, one proxy each")
	url := dbtest.URL(t)
	p := dbtest.NewProxy(t, url)
	good, bad := dbtest.Open(t, url), dbtest.Open(t, p.URL())
	keys := newKeys(t)
	w := &world{t: t, url: url, proxy: p}
	// A tiny cache, so that much has to be read again.
	w.stores[0] = newStore(t, good, keys, Config{KeepCommits: 1, CacheBytes: 8 * stateBytes})
	w.stores[1] = newStore(t, bad, keys, Config{})
	w.tenants = [2]db.Schema{dbtest.Tenant(t, good), dbtest.Tenant(t, good)}
	return w
}

// begin makes fresh accounts, two in each tenant.
func (w *world) begin() {
	w.repos, w.touched = nil, nil
	for i := range 4 {
		a := &account{schema: w.tenants[i/2], is: map[string][]byte{}}
		a.aid, a.did = newRepo(w.t, w.stores[0].db, w.stores[0].keys, a.schema)
		w.repos = append(w.repos, a)
	}
}

// touch draws the account of a step.
func (w *world) touch(t *rapid.T) *account {
	w.touched = w.repos[rapid.IntRange(0, len(w.repos)-1).Draw(t, "account")]
	return w.touched
}

var collections = []string{"app.bsky.feed", "app.bsky.feed.post", "app.bsky.graph.follow", "com.example.a"}

func genPath(t *rapid.T) string {
	return rapid.SampledFrom(collections).Draw(t, "collection") + "/" + rapid.StringMatching(`[a-d~._:-]{3,4}`).Draw(t, "rkey")
}

func genRecord(t *rapid.T, path string) []byte {
	if linkKind(path) != linkNone && rapid.Bool().Draw(t, "follow") {
		return follow(fmt.Sprintf("did:plc:%d", rapid.IntRange(1, 3).Draw(t, "subject")))
	}
	return post(fmt.Sprint(rapid.IntRange(1, 6).Draw(t, "text")))
}

// genWrites draws writes that fit what is there, mostly.
func genWrites(t *rapid.T, is map[string][]byte) []repo.Write {
	n := rapid.IntRange(1, 6).Draw(t, "writes")
	if rapid.IntRange(0, 9).Draw(t, "many") == 0 {
		n = rapid.IntRange(20, 60).Draw(t, "more writes")
	}
	has := maps.Clone(is)
	var out []repo.Write
	for range n {
		path := genPath(t)
		if len(has) > 0 && rapid.IntRange(0, 2).Draw(t, "old") > 0 {
			path = rapid.SampledFrom(slices.Sorted(maps.Keys(has))).Draw(t, "path")
		}
		_, there := has[path]
		switch {
		case rapid.IntRange(0, 30).Draw(t, "wrong") == 0:
			there = !there
			fallthrough
		default:
			switch {
			case !there:
				out = append(out, create(path, genRecord(t, path)))
			case rapid.Bool().Draw(t, "delete"):
				out = append(out, del(path))
			default:
				out = append(out, update(path, genRecord(t, path)))
			}
		}
		if out[len(out)-1].Action == repo.ActionDelete {
			delete(has, path)
		} else {
			has[path] = out[len(out)-1].Record
		}
	}
	return out
}

// expect is what the writes make of is, or the error they must meet.
func expect(is map[string][]byte, writes []repo.Write) (map[string][]byte, error) {
	out := maps.Clone(is)
	for _, w := range writes {
		_, there := out[w.Path]
		switch {
		case w.Action == repo.ActionCreate && there:
			return is, repo.ErrRecordExists
		case w.Action != repo.ActionCreate && !there:
			return is, repo.ErrRecordMissing
		}
		if w.Action == repo.ActionDelete {
			delete(out, w.Path)
		} else {
			out[w.Path] = w.Record
		}
	}
	return out, nil
}

func same(a, b map[string][]byte) bool { return maps.EqualFunc(a, b, bytes.Equal) }

func (w *world) write(t *rapid.T) {
	a := w.touch(t)
	s := w.stores[rapid.IntRange(0, 1).Draw(t, "process")]
	if s == w.stores[1] {
		switch rapid.IntRange(0, 3).Draw(t, "fault") {
		case 2:
			w.proxy.CutGroupBefore()
		case 3:
			w.proxy.CutGroupAfter()
		}
	}
	list := genWrites(t, a.is)
	next, want := expect(a.is, list)
	if a.off {
		next, want = a.is, ErrRepoDeactivated
	}
	res, err := s.Write(w.t.Context(), a.schema, a.aid, Options{}, writes(list...))
	w.proxy.Disarm()
	wrong := errors.Is(err, repo.ErrRecordExists) || errors.Is(err, repo.ErrRecordMissing)
	switch {
	case want != nil && !a.off && wrong: // of several mistakes any may be named
	case !errors.Is(err, want) || (want == nil) != (err == nil):
		t.Fatalf("write: %v, want %v", err, want)
	case err == nil && res.Changed == same(next, a.is):
		t.Fatalf("changed is %v", res.Changed)
	}
	a.is = next
}

func (w *world) put(t *rapid.T) {
	a := w.touch(t)
	s := w.stores[rapid.IntRange(0, 1).Draw(t, "process")]
	path := genPath(t)
	record := genRecord(t, path)
	duplicates, consistent := 0, true
	var seen []byte // by the last call, which was not mistaken
	res, err := s.Write(w.t.Context(), a.schema, a.aid, Options{}, func(v *View) ([]repo.Write, error) {
		_, there, err := v.Get(path)
		if err != nil {
			return nil, err
		}
		old, err := v.Record(path)
		if err != nil {
			return nil, err
		}
		seen, consistent = old, there == (old != nil)
		out, err := v.Duplicates(path, record)
		duplicates = len(out)
		if there {
			return append(out, update(path, record)), err
		}
		return append(out, create(path, record)), err
	})
	if a.off {
		if !errors.Is(err, ErrRepoDeactivated) {
			t.Fatal("put:", err)
		}
		return
	}
	if err != nil {
		t.Fatal("put:", err)
	}
	if !consistent || !bytes.Equal(seen, a.is[path]) {
		t.Fatalf("view of %s: %x, want %x", path, seen, a.is[path])
	}
	if res.Changed != (duplicates > 0 || !bytes.Equal(a.is[path], record)) {
		t.Fatal("changed is", res.Changed)
	}
	if link, ok := LinkOf(path, record); ok {
		for p, r := range a.is {
			if l, ok := LinkOf(p, r); ok && l == link && p != path {
				delete(a.is, p)
			}
		}
	}
	a.is[path] = record
}

func (w *world) toggle(t *rapid.T) {
	a := w.touch(t)
	a.off = !a.off
	sql := "UPDATE " + a.schema.String() + ".actor SET deactivated_at = NULL WHERE aid = $1"
	if a.off {
		sql = "UPDATE " + a.schema.String() + ".actor SET deactivated_at = '2026-01-01' WHERE aid = $1"
	}
	execSQL(w.t, w.url, sql, a.aid)
}

// check is the invariant, after every step.
func (w *world) check(t *rapid.T) {
	a := w.touched
	if a == nil {
		return
	}
	w.checkOne(t, a)
	if rapid.IntRange(0, 4).Draw(t, "export") > 0 {
		return
	}
	var out bytes.Buffer
	if err := w.stores[0].Export(w.t.Context(), nil, a.schema, a.aid, 0, &out); err != nil {
		t.Fatal(err)
	}
	got := map[string][]byte{}
	ar, err := repo.Verify(&out, a.did, nil, repo.VerifyOptions{Record: func(r repo.ImportedRecord) error {
		got[r.Path] = bytes.Clone(r.Block)
		return r.Err
	}})
	if err != nil {
		t.Fatal(err)
	}
	if !ar.Streamed {
		t.Fatal("export is not in streaming order")
	}
	if !same(got, a.is) {
		t.Fatalf("exported %d records, want %d", len(got), len(a.is))
	}
}

func (w *world) checkOne(t *rapid.T, a *account) {
	r, err := w.stores[0].Check(w.t.Context(), a.schema, a.aid)
	if err != nil {
		t.Fatal(err)
	}
	if !r.OK() || r.Records != len(a.is) {
		t.Fatalf("%d records, want %d: %q", r.Records, len(a.is), r.Problems)
	}
}

// TestWritesOfTwoProcesses checks everything after every step of random writes,
// with lost races, lost answers and deactivations in between.
func TestWritesOfTwoProcesses(t *testing.T) {
	w := newWorld(t)
	rapid.Check(t, func(t *rapid.T) {
		w.begin()
		t.Repeat(map[string]func(*rapid.T){
			"write": w.write, "write again": w.write, "put": w.put, "toggle": w.toggle, "": w.check,
		})
		for _, a := range w.repos { // nobody was written to instead of another
			w.checkOne(t, a)
		}
	})
	for _, schema := range w.tenants {
		err := w.stores[0].CheckTenant(t.Context(), schema, func(r Report) error {
			if !r.OK() {
				return fmt.Errorf("actor %d: %q", r.AID, r.Problems)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
	cuts := w.proxy.Disarm()
	t.Logf("%d connections cut in %d groups", cuts, w.proxy.Groups())
	if cuts == 0 {
		t.Error("no connection was cut")
	}
}
