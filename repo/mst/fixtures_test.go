package mst

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/ipfs/go-cid"

	"github.com/auroralocus/locus/internal/vectors"
	"github.com/auroralocus/locus/repo/car"
)

func TestKeyLevel(t *testing.T) {
	want := map[string]int{
		"": 0, "asdf": 0, "blue": 1, "2653ae71": 0, "88bfafc7": 2, "2a92d355": 4, "884976f5": 6,
		"app.bsky.feed.post/454397e440ec": 4, "app.bsky.feed.post/9adeb165882c": 8,
	}
	var list []struct {
		Key    string
		Height int
	}
	vectors.JSON(t, &list, "mst", "key_heights.json")
	for _, v := range list {
		want[v.Key] = v.Height
	}
	for key, level := range want {
		if got := KeyLevel(key); got != level {
			t.Errorf("KeyLevel(%q) = %d, want %d", key, got, level)
		}
	}
}

func TestCommon(t *testing.T) {
	list := []struct {
		Left, Right string
		Len         int
	}{{"", "", 0}, {"abc", "abc", 3}, {"abc", "ab", 2}, {"ab", "abc", 2}, {"x", "y", 0}, {"a\x00b", "a\x00c", 2}}
	vectors.JSON(t, &list, "mst", "common_prefix.json")
	for _, v := range list {
		if got := common(v.Left, []byte(v.Right)); got != v.Len {
			t.Errorf("common(%q, %q) = %d, want %d", v.Left, v.Right, got, v.Len)
		}
	}
}

// TestExampleKeys builds trees of keys whose levels are in their names.
func TestExampleKeys(t *testing.T) {
	file := vectors.Path(t, "mst", "example_keys.txt")
	if file == "" {
		return
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s := newState(t, map[string]cid.Cid{})
	n := 0
	for line := range bytes.Lines(b) {
		key := string(bytes.TrimSpace(line))
		if key == "" {
			continue
		}
		if KeyLevel(key) != int(key[1]-'0') {
			t.Errorf("%s stands on level %d", key, KeyLevel(key))
		}
		n++
		s.commit(s.tree, []op{{key: key, val: val(n)}})
	}
	for _, key := range slices.Collect(keysOf(s.keys)) {
		s.commit(s.tree, []op{{key: key, prev: s.keys[key]}})
	}
	if s.tree.Root() != EmptyRoot {
		t.Errorf("root %s after all is deleted", s.tree.Root())
	}
	t.Logf("%d keys", n)
}

// pair is one transition of the exhaustive suite.
type pair struct {
	Name           string
	A, B           string
	CreatedNodes   []string `json:"created_nodes"`
	DeletedNodes   []string `json:"deleted_nodes"`
	InductiveNodes []string `json:"inductive_proof_nodes"`
	RecordOps      []struct {
		Path string  `json:"rpath"`
		Old  *string `json:"old_value"`
		New  *string `json:"new_value"`
	} `json:"record_ops"`
}

// TestExhaustive goes from every tree to every other of the suite and compares nodes made and removed, the changes
// found between the roots, and what undoing needs.
func TestExhaustive(t *testing.T) {
	file := vectors.Path(t, "mst-diff", "exhaustive-dev.jsonl.gz")
	if file == "" {
		return
	}
	all := Blocks{}
	roots := map[string]cid.Cid{}
	for _, name := range vectors.Files(t, "mst-diff", "cars", "*.car") {
		roots[filepath.Base(name)] = readTree(t, name, all)
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	lines, n, more := bufio.NewScanner(z), 0, 0
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var p pair
		if err := json.Unmarshal(lines.Bytes(), &p); err != nil {
			t.Fatal(err)
		}
		more += p.check(t, roots, all)
		n++
	}
	if err := lines.Err(); err != nil || n == 0 {
		t.Fatal(n, err)
	}
	t.Logf("%d trees, %d transitions; %d nodes beyond what undoing last to first reads", len(roots), n, more)
}

func readTree(t testing.TB, name string, into Blocks) cid.Cid {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := car.NewReader(f, car.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	for {
		c, b, err := r.Next()
		if errors.Is(err, io.EOF) {
			return r.Roots()[0]
		}
		if err == nil {
			err = into.Put(c, bytes.Clone(b))
		}
		if err != nil {
			t.Fatal(name, err)
		}
	}
}

func (p *pair) check(t *testing.T, roots map[string]cid.Cid, all Blocks) (more int) {
	t.Helper()
	a, b := roots[p.A], roots[p.B]
	var ops []op
	for _, o := range p.RecordOps {
		ops = append(ops, op{key: o.Path, prev: parseCID(o.Old), val: parseCID(o.New)})
	}
	s := &state{t: t}
	d := s.apply(Open(a, all.Load), ops)
	if d.Root != b {
		t.Fatalf("%s: root %s, want %s", p.Name, d.Root, b)
	}
	if diff := cmp.Diff(p.CreatedNodes, names(d.New)); diff != "" {
		t.Fatalf("%s: created: %s", p.Name, diff)
	}
	if diff := cmp.Diff(p.DeletedNodes, names(d.Stale)); diff != "" {
		t.Fatalf("%s: deleted: %s", p.Name, diff)
	}
	event := Blocks{}
	for _, n := range slices.Concat(d.New, d.Proof) {
		event.Add(n)
	}
	sent := names(slices.Concat(d.New, d.Proof))
	for _, c := range p.InductiveNodes {
		if !slices.Contains(sent, c) {
			t.Fatalf("%s: %s is not in the event", p.Name, c)
		}
	}
	permute(ops, 3, func(ops []op) {
		if root, err := undo(ops, b, event.Load); err != nil || root != a {
			t.Fatalf("%s: undone to %s: %v", p.Name, root, err)
		}
	})
	changes, err := Changes(a, b, all.Load)
	if err != nil {
		t.Fatal(err)
	}
	var got []op
	for _, c := range changes {
		got = append(got, op{c.Key, c.Old, c.New})
	}
	if diff := cmp.Diff(ops, got, cmp.AllowUnexported(op{}), cmp.Comparer(sameCID)); diff != "" {
		t.Fatalf("%s: changes: %s", p.Name, diff)
	}
	return len(sent) - len(p.InductiveNodes)
}

func parseCID(s *string) cid.Cid {
	if s == nil {
		return cid.Undef
	}
	return cid.MustParse(*s)
}

// names lists CIDs as sorted text.
func names(nodes []Node) []string {
	list := []string{}
	for _, n := range nodes {
		list = append(list, n.CID.String())
	}
	slices.Sort(list)
	return list
}

// proofCase is a commit with the nodes that its event has to carry.
type proofCase struct {
	Comment          string
	LeafValue        string
	Keys, Adds, Dels []string
	RootBeforeCommit string
	RootAfterCommit  string
	BlocksInProof    []string
}

// ownProofCases stand in where the fixtures are absent.
var ownProofCases = []proofCase{{
	Comment:          "add on edge with neighbor two layers down",
	LeafValue:        "bafyreie5cvv4h45feadgeuwhbcutmh6t2ceseocckahdoe6uat64zmz454",
	Keys:             []string{"A0/374913", "B2/827649", "C0/451630"},
	Adds:             []string{"D2/269196"},
	RootBeforeCommit: "bafyreigc6ay2qwfk7kuevvrczummpd64nknfo4yxpaooknfymzyb7u3ntq",
	RootAfterCommit:  "bafyreign6kxoll35r5f2ske6hjx7vg56aw3jn6r5hcopgrepzafpvohr2a",
	BlocksInProof: []string{
		"bafyreieazvzmba35p4phksumwfoklwe5o4ncmo7otud74idcyv4orrbzxi",
		"bafyreidicvcjgrpm5bmhm3ndh2ysqfhgzk4chwn3m4kuvwkenfusspb4uy",
		"bafyreign6kxoll35r5f2ske6hjx7vg56aw3jn6r5hcopgrepzafpvohr2a",
	},
}}

func TestCommitProofs(t *testing.T) {
	cases := ownProofCases
	vectors.JSON(t, &cases, "firehose", "commit-proof", "commit-proof-fixtures.json")
	t.Logf("%d vectors", len(cases))
	for _, c := range cases {
		t.Run(c.Comment, func(t *testing.T) {
			value := cid.MustParse(c.LeafValue)
			keys := map[string]cid.Cid{}
			for _, k := range c.Keys {
				keys[k] = value
			}
			s := newState(t, keys)
			if s.tree.Root().String() != c.RootBeforeCommit {
				t.Fatalf("root before is %s", s.tree.Root())
			}
			var ops []op
			for _, k := range c.Adds {
				ops = append(ops, op{key: k, val: value})
			}
			for _, k := range c.Dels {
				ops = append(ops, op{key: k, prev: value})
			}
			d := s.commit(s.tree, ops)
			if d.Root.String() != c.RootAfterCommit {
				t.Errorf("root after is %s", d.Root)
			}
			slices.Sort(c.BlocksInProof)
			if diff := cmp.Diff(c.BlocksInProof, names(slices.Concat(d.New, d.Proof))); diff != "" {
				t.Errorf("nodes of the event: %s", diff)
			}
		})
	}
}
