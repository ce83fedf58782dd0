package repo_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"
	"pgregory.net/rapid"

	"github.com/auroralocus/locus/repo"
	"github.com/auroralocus/locus/repo/car"
	"github.com/auroralocus/locus/repo/dagcbor"
	"github.com/auroralocus/locus/repo/mst"
)

// fastSigner spares the tests that are about something else the time of signing.
type fastSigner struct{}

func (fastSigner) Sign([]byte) ([]byte, error) { return bytes.Repeat([]byte{1}, 64), nil }

func record(text string) []byte {
	return dagcbor.AppendText(dagcbor.AppendText(dagcbor.AppendMapHead(nil, 1), "text"), text)
}

// failer is a test, of testing or rapid.
type failer interface {
	Helper()
	Fatalf(string, ...any)
}

// stored is a repository whose nodes are kept by CID.
type stored struct {
	t       failer
	head    repo.Head
	nodes   mst.Blocks
	records map[string][]byte
}

func newStored(t failer) *stored {
	t.Helper()
	c, err := repo.Init(did, 1<<10, fastSigner{})
	if err != nil {
		t.Fatalf("%v", err)
	}
	s := &stored{t: t, head: c.Head, nodes: mst.Blocks{}, records: map[string][]byte{}}
	s.nodes.Add(c.Diff.New[0])
	return s
}

func (s *stored) apply(writes ...repo.Write) (*repo.Commit, error) {
	return repo.Apply(s.head, writes, s.nodes.Load, s.head.Rev+1, fastSigner{})
}

// commit applies, stores, and checks all that is promised of a commit.
func (s *stored) commit(tree *mst.Tree, writes ...repo.Write) *repo.Commit {
	s.t.Helper()
	c, err := repo.ApplyTree(s.head, tree, writes, s.head.Rev+1, fastSigner{})
	if err != nil {
		s.t.Fatalf("%v", err)
	}
	before, after := s.records, maps.Clone(s.records)
	for _, w := range writes {
		if after[w.Path] = w.Record; w.Action == repo.ActionDelete {
			delete(after, w.Path)
		}
	}
	pairs := func(yield func(string, cid.Cid) bool) {
		for _, p := range slices.Sorted(maps.Keys(after)) {
			if !yield(p, dagcbor.CID(after[p])) {
				return
			}
		}
	}
	root, err := mst.Build(pairs, nil)
	if err != nil || c.Head.Data != root || c.Diff.Root != root || c.Tree.Root() != root {
		s.t.Fatalf("root %s, want %s: %v", c.Head.Data, root, err)
	}
	if c.Since != s.head.Rev || c.PrevData != s.head.Data || c.Head.Rev != s.head.Rev+1 || c.Head.DID != did {
		s.t.Fatalf("%+v behind %+v", c, s.head)
	}
	checkOps(s.t, c, writes, before, after)
	checkEvent(s.t, c, after)
	s.head, s.records = c.Head, after
	for _, n := range c.Diff.New {
		s.nodes.Add(n)
	}
	for _, n := range c.Diff.Stale {
		delete(s.nodes, [32]byte(n.CID.Hash()[2:]))
	}
	return c
}

// checkOps says that the ops are the difference, one a path, in the order of the paths' first writes.
func checkOps(t failer, c *repo.Commit, writes []repo.Write, before, after map[string][]byte) {
	t.Helper()
	var want []repo.Op
	seen := map[string]bool{}
	for _, w := range writes {
		if seen[w.Path] {
			continue
		}
		seen[w.Path] = true
		op := repo.Op{Path: w.Path, Action: repo.ActionUpdate}
		if b, ok := before[w.Path]; ok {
			op.Prev = dagcbor.CID(b)
		} else {
			op.Action = repo.ActionCreate
		}
		if b, ok := after[w.Path]; ok {
			op.CID = dagcbor.CID(b)
		} else {
			op.Action = repo.ActionDelete
		}
		if op.CID != op.Prev {
			want = append(want, op)
		}
	}
	if !slices.Equal(c.Ops, want) {
		t.Fatalf("ops %v, want %v", c.Ops, want)
	}
}

// checkEvent reads the event's archive as a stranger does and undoes the ops in all orders.
func checkEvent(t failer, c *repo.Commit, after map[string][]byte) {
	t.Helper()
	b := c.AppendCAR([]byte("x"))
	if len(b) != 1+c.CARLen() {
		t.Fatalf("%d bytes of archive, want %d", len(b)-1, c.CARLen())
	}
	r, err := car.NewReader(bytes.NewReader(b[1:]), car.Limits{})
	if err != nil || len(r.Roots()) != 1 || r.Roots()[0] != c.Head.CID {
		t.Fatalf("%v: %v", r.Roots(), err)
	}
	got := map[cid.Cid][]byte{}
	for {
		id, block, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil || got[id] != nil {
			t.Fatalf("%s twice, or %v", id, err)
		}
		got[id] = bytes.Clone(block)
	}
	object, err := repo.DecodeCommit(got[c.Head.CID])
	if err != nil || object.Data != c.Head.Data {
		t.Fatalf("%+v: %v", object, err)
	}
	for _, op := range c.Ops {
		if op.CID.Defined() && !bytes.Equal(got[op.CID], after[op.Path]) {
			t.Fatalf("the record of %s is not there", op.Path)
		}
		if op.Prev.Defined() && got[op.Prev] != nil && !slices.ContainsFunc(c.Ops, func(o repo.Op) bool { return o.CID == op.Prev }) {
			t.Fatalf("the old record of %s is there", op.Path)
		}
	}
	load := func(id cid.Cid) ([]byte, error) {
		if b := got[id]; b != nil {
			return b, nil
		}
		return nil, mst.ErrNotFound
	}
	orders(c.Ops, func(ops []repo.Op) {
		if root, err := repo.Invert(ops, c.Head.Data, load); err != nil || root != c.PrevData {
			t.Fatalf("undone to %s, not %s: %v", root, c.PrevData, err)
		}
	})
}

// orders calls f with all orders of up to four ops, else with two.
func orders(ops []repo.Op, f func([]repo.Op)) {
	ops = slices.Clone(ops)
	if len(ops) > 4 {
		f(ops)
		slices.Reverse(ops)
		f(ops)
		return
	}
	var rec func(k int)
	rec = func(k int) {
		if k == len(ops) {
			f(ops)
		}
		for i := k; i < len(ops); i++ {
			ops[k], ops[i] = ops[i], ops[k]
			rec(k + 1)
			ops[k], ops[i] = ops[i], ops[k]
		}
	}
	rec(0)
}

// TestRandomWrites makes runs of commits with writes that repeat paths and contents.
func TestRandomWrites(t *testing.T) {
	for range 5 { // of 100 checks
		rapid.Check(t, func(rt *rapid.T) {
			s := newStored(rt)
			tree := mst.Open(s.head.Data, s.nodes.Load)
			for range rapid.IntRange(1, 6).Draw(rt, "commits") {
				writes := drawWrites(rt, s.records)
				if len(writes) == 0 {
					continue
				}
				if rapid.Bool().Draw(rt, "cold") {
					tree = mst.Open(s.head.Data, s.nodes.Load)
				}
				if unchanged(s.records, writes) {
					_, err := repo.ApplyTree(s.head, tree, writes, s.head.Rev+1, fastSigner{})
					if !errors.Is(err, repo.ErrNoChange) {
						rt.Fatalf("no change: %v", err)
					}
					continue
				}
				tree = s.commit(tree, writes...).Tree
			}
		})
	}
}

// drawWrites gives writes that are legal one after the other.
func drawWrites(t *rapid.T, records map[string][]byte) (writes []repo.Write) {
	now := maps.Clone(records)
	for range rapid.SampledFrom([]int{1, 2, 4, 50}).Draw(t, "writes") {
		path := fmt.Sprintf("com.example.%s/%d", rapid.SampledFrom([]string{"a", "b", "a.b"}).Draw(t, "collection"), rapid.IntRange(0, 60).Draw(t, "rkey"))
		w := repo.Write{Action: repo.ActionCreate, Path: path, Record: record(fmt.Sprint(rapid.IntRange(0, 4).Draw(t, "text")))}
		if _, ok := now[path]; ok {
			w.Action = rapid.SampledFrom([]repo.Action{repo.ActionUpdate, repo.ActionDelete}).Draw(t, "action")
		}
		if now[path] = w.Record; w.Action == repo.ActionDelete {
			w.Record = nil
			delete(now, path)
		}
		writes = append(writes, w)
	}
	return writes
}

func unchanged(records map[string][]byte, writes []repo.Write) bool {
	now := maps.Clone(records)
	for _, w := range writes {
		if now[w.Path] = w.Record; w.Action == repo.ActionDelete {
			delete(now, w.Path)
		}
	}
	return maps.EqualFunc(now, records, bytes.Equal)
}

func create(path, text string) repo.Write {
	return repo.Write{Action: repo.ActionCreate, Path: "com.example.a/" + path, Record: record(text)}
}

func update(path, text string) repo.Write {
	return repo.Write{Action: repo.ActionUpdate, Path: "com.example.a/" + path, Record: record(text)}
}

func remove(path string) repo.Write {
	return repo.Write{Action: repo.ActionDelete, Path: "com.example.a/" + path}
}

func TestApplyRefuses(t *testing.T) {
	s := newStored(t)
	s.commit(mst.Open(s.head.Data, s.nodes.Load), create("one", "1"), create("two", "1"))
	many := make([]repo.Write, repo.MaxOps+1)
	for i := range many {
		many[i] = create(fmt.Sprint(i), "x")
	}
	big := repo.Write{Action: repo.ActionCreate, Path: "com.example.a/big", Record: record(strings.Repeat("x", repo.MaxRecord))}
	fits := strings.Repeat("x", repo.MaxRecord-20)
	cases := map[string]struct {
		want   error
		writes []repo.Write
	}{
		"create what is there":         {repo.ErrRecordExists, []repo.Write{create("one", "2")}},
		"create what is there, batch":  {repo.ErrRecordExists, []repo.Write{create("new", "2"), create("one", "2")}},
		"update what is not there":     {repo.ErrRecordMissing, []repo.Write{update("none", "2")}},
		"delete what is not there":     {repo.ErrRecordMissing, []repo.Write{remove("none")}},
		"create twice":                 {repo.ErrRecordExists, []repo.Write{create("new", "2"), create("new", "2")}},
		"delete twice":                 {repo.ErrRecordMissing, []repo.Write{remove("one"), remove("one")}},
		"update what was deleted":      {repo.ErrRecordMissing, []repo.Write{remove("one"), update("one", "2")}},
		"create, delete what is there": {repo.ErrRecordExists, []repo.Write{create("one", "2"), remove("one")}},
		"too many":                     {repo.ErrTooManyOps, many},
		"record too big":               {repo.ErrRecordTooBig, []repo.Write{big}},
		"commit too big":               {repo.ErrTooBig, []repo.Write{create("x", fits), create("y", fits+"y"), create("z", "z")}},
		"bad path":                     {repo.ErrPath, []repo.Write{create("a b", "2")}},
		"nothing":                      {repo.ErrNoChange, nil},
		"same content":                 {repo.ErrNoChange, []repo.Write{update("one", "1")}},
		"made and gone":                {repo.ErrNoChange, []repo.Write{create("new", "2"), remove("new")}},
		"gone and made again":          {repo.ErrNoChange, []repo.Write{remove("one"), create("one", "1")}},
	}
	tree := mst.Open(s.head.Data, s.nodes.Load)
	for name, c := range cases {
		if _, err := s.apply(c.writes...); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := repo.ApplyTree(s.head, tree, c.writes, s.head.Rev+1, fastSigner{}); !errors.Is(err, c.want) {
			t.Errorf("%s, on a kept tree: %v", name, err)
		}
	}
	for name, w := range map[string]repo.Write{
		"no action":          {Path: "com.example.a/new", Record: record("x")},
		"create of nothing":  {Action: repo.ActionCreate, Path: "com.example.a/new"},
		"delete of a record": {Action: repo.ActionDelete, Path: "com.example.a/one", Record: record("x")},
	} {
		if _, err := s.apply(w); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	if _, err := repo.Apply(s.head, []repo.Write{create("new", "2")}, s.nodes.Load, s.head.Rev, fastSigner{}); !errors.Is(err, repo.ErrRev) {
		t.Error(err)
	}
	if _, err := repo.Apply(s.head, []repo.Write{create("new", "2")}, mst.Blocks{}.Load, s.head.Rev+1, fastSigner{}); !errors.Is(err, mst.ErrNotFound) {
		t.Error(err)
	}
	if _, err := repo.ApplyTree(s.head, mst.Open(mst.EmptyRoot, nil), []repo.Write{create("new", "2")}, s.head.Rev+1, fastSigner{}); err == nil {
		t.Error("another tree is taken")
	}
	broken := errors.New("broken")
	if _, err := repo.ApplyTree(s.head, tree, []repo.Write{create("new", "2")}, s.head.Rev+1, badSigner{err: broken}); !errors.Is(err, broken) {
		t.Error(err)
	}
	s.commit(tree, create("new", "2"), remove("one"), update("two", "3")) // none of it left a trace
}

// TestLimits says that the limits are of the archive as it is sent, to the byte.
func TestLimits(t *testing.T) {
	s := newStored(t)
	writes := []repo.Write{create("x", strings.Repeat("x", repo.MaxRecord-20)), create("y", strings.Repeat("y", 990_000))}
	c, err := s.apply(writes...)
	if err != nil {
		t.Fatal(err)
	}
	exact := 990_000 + repo.MaxBlocks - c.CARLen()
	writes[1] = create("y", strings.Repeat("y", exact))
	if c, err = s.apply(writes...); err != nil || len(c.AppendCAR(nil)) != repo.MaxBlocks {
		t.Errorf("%d bytes: %v", c.CARLen(), err)
	}
	writes[1] = create("y", strings.Repeat("y", exact+1))
	if _, err = s.apply(writes...); !errors.Is(err, repo.ErrTooBig) {
		t.Error(err)
	}
	most := create("m", strings.Repeat("m", repo.MaxRecord-11))
	if len(most.Record) != repo.MaxRecord {
		t.Fatal(len(most.Record))
	}
	if _, err := s.apply(most); err != nil {
		t.Error(err)
	}
	many := make([]repo.Write, repo.MaxOps)
	for i := range many {
		many[i] = create(fmt.Sprint(i), "x")
	}
	if c, err := s.apply(many...); err != nil || len(c.Ops) != repo.MaxOps || len(c.Records) != 1 {
		t.Errorf("%d writes: %v", len(many), err)
	}
}

// TestFirstCommit makes the first commit with records in it.
func TestFirstCommit(t *testing.T) {
	c, err := repo.Apply(repo.Head{DID: did}, []repo.Write{create("one", "1")}, nil, 7, fastSigner{})
	if err != nil || c.Since != 0 || c.PrevData.Defined() || len(c.Ops) != 1 || c.Head.Rev != 7 {
		t.Errorf("%+v: %v", c, err)
	}
}

func TestInvertRefuses(t *testing.T) {
	s := newStored(t)
	c := s.commit(mst.Open(s.head.Data, s.nodes.Load), create("one", "1"), create("two", "2"))
	good := c.Ops[0]
	other := dagcbor.CID(record("other"))
	for name, ops := range map[string][]repo.Op{
		"another value":      {{Action: repo.ActionCreate, Path: good.Path, CID: other}},
		"not there":          {{Action: repo.ActionCreate, Path: good.Path + "x", CID: good.CID}},
		"create with prev":   {{Action: repo.ActionCreate, Path: good.Path, CID: good.CID, Prev: other}},
		"update sans prev":   {{Action: repo.ActionUpdate, Path: good.Path, CID: good.CID}},
		"update of another":  {{Action: repo.ActionUpdate, Path: good.Path, CID: other, Prev: good.CID}},
		"delete of present":  {{Action: repo.ActionDelete, Path: good.Path, Prev: good.CID}},
		"delete with cid":    {{Action: repo.ActionDelete, Path: good.Path + "x", CID: other, Prev: good.CID}},
		"the same one twice": {good, good},
		"no action":          {{Path: good.Path, CID: good.CID}},
	} {
		if root, err := repo.Invert(ops, s.head.Data, s.nodes.Load); !errors.Is(err, repo.ErrInvert) {
			t.Errorf("%s: %s, %v", name, root, err)
		}
	}
	if root, err := repo.Invert(nil, s.head.Data, nil); err != nil || root != s.head.Data {
		t.Errorf("no ops: %s, %v", root, err)
	}
}

// TestReadyRecord: what was checked before makes the same commit as what is checked now, and what somebody changed
// after it was checked is checked again.
func TestReadyRecord(t *testing.T) {
	path, err := repo.NewPath("com.example.record", "self")
	if err != nil || path.String() != "com.example.record/self" {
		t.Fatal(path, err)
	}
	for _, bad := range [][2]string{{"com.example", "self"}, {"com.example.record", ".."}, {"Com.Example.record", "self"}, {"", ""}} {
		if _, err := repo.NewPath(bad[0], bad[1]); !errors.Is(err, repo.ErrPath) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	block, other := []byte("\xa1eatextahello"), []byte("\xa1eatextaother")
	record := repo.NewRecord(path, block)
	if record.CID() != dagcbor.CID(block) || record.Path() != path.String() {
		t.Error(record.CID(), record.Path())
	}
	commit := func(w repo.Write) *repo.Commit {
		c, err := newStored(t).apply(w)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	if a, b := commit(record.Write(repo.ActionCreate)), commit(repo.Write{Action: repo.ActionCreate, Path: "com.example.record/self", Record: block}); a.Diff.Root != b.Diff.Root {
		t.Error("another tree")
	}
	changed := record.Write(repo.ActionCreate)
	changed.Record = other
	if a, b := commit(changed), commit(repo.Write{Action: repo.ActionCreate, Path: "com.example.record/self", Record: other}); a.Diff.Root != b.Diff.Root {
		t.Error("the CID of another block")
	}
	changed.Path = "com.example.record/.."
	if _, err := newStored(t).apply(changed); !errors.Is(err, repo.ErrPath) {
		t.Error(err)
	}
}
