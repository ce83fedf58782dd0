package repo_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/bluesky-social/indigo/atproto/atcrypto"
	"github.com/ipfs/go-cid"
	"go.uber.org/goleak"

	"github.com/auroralocus/locus/internal/vectors"
	"github.com/auroralocus/locus/repo"
	"github.com/auroralocus/locus/repo/car"
	"github.com/auroralocus/locus/repo/dagcbor"
	"github.com/auroralocus/locus/repo/mst"
)

func TestVerifyMadeVectors(t *testing.T) {
	files := []string{"testdata/made-vectors.json"}
	if shared := vectors.Path(t, "car", "made", "vectors.json"); shared != "" {
		files = append(files, shared)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var vectors []struct {
			Name, Rule, Layer, DID, DIDKey string
			Valid                          bool
			Records                        int
			CAR                            []byte
		}
		if err := json.Unmarshal(b, &vectors); err != nil {
			t.Fatal(err)
		}
		for _, v := range vectors {
			key, err := atcrypto.ParsePublicDIDKey(v.DIDKey)
			if err != nil {
				t.Fatal(err)
			}
			a, err := repo.Verify(bytes.NewReader(v.CAR), v.DID, key, repo.VerifyOptions{})
			wantRepo := v.Valid || v.Layer == "record"
			if (err == nil) != wantRepo {
				t.Errorf("%s (%s): %v", v.Name, v.Rule, err)
				continue
			}
			if err == nil {
				if a.Count != v.Records || len(a.Records) != v.Records || (len(a.Invalid) == 0) != v.Valid {
					t.Errorf("%s: %d records, %v invalid", v.Name, a.Count, a.Invalid)
				}
				if a.CID != dagcbor.CID(a.Block) || a.Commit.DID != v.DID {
					t.Errorf("%s: commit %s of %s", v.Name, a.CID, a.Commit.DID)
				}
				continue
			}
			if want := layerErrors[v.Layer]; !slices.ContainsFunc(want, func(e error) bool { return errors.Is(err, e) }) {
				t.Errorf("%s (%s): an error of another layer: %v", v.Name, v.Layer, err)
			}
		}
		t.Logf("car/made: %d vectors of %s", len(vectors), filepath.Base(file))
	}
}

// layerErrors are the sentinels a vector of each layer may fail with.
var layerErrors = map[string][]error{
	"car":       {car.ErrDigest, car.ErrTruncated, car.ErrSection, repo.ErrIncomplete},
	"commit":    {repo.ErrCommit, repo.ErrTID},
	"signature": {repo.ErrSignature, repo.ErrCommit},
	"mst":       {mst.ErrInvalid},
	"key":       {repo.ErrPath},
}

func TestVerifyRealArchives(t *testing.T) {
	dir := vectors.Path(t, "car", "real")
	if dir == "" {
		return
	}
	wants := map[string]struct {
		records int
		err     error
	}{
		"microcosm_empty.car":   {0, nil},
		"greenground.repo.car":  {2, nil},
		"snarfed2.car":          {5, nil},
		"rsky_valid_repo.car":   {6, nil},
		"microcosm_tiny.car":    {8, nil},
		"microcosm_little.car":  {278, nil},
		"paul_staging.repo.car": {0, repo.ErrCommit}, // version 2
		"repo_slice.car":        {0, repo.ErrCommit}, // without prev
	}
	for name, want := range wants {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		a, err := repo.Verify(bytes.NewReader(b), "", nil, repo.VerifyOptions{})
		if !errors.Is(err, want.err) || (want.err == nil) != (err == nil) {
			t.Errorf("%s: %v, want %v", name, err, want.err)
		}
		if err != nil {
			continue
		}
		if a.Count != want.records || len(a.Invalid) > 0 {
			t.Errorf("%s: %d records, invalid: %v", name, a.Count, a.Invalid)
		}
		for _, r := range a.Records {
			text, err := dagcbor.ToJSON(nil, r.Block)
			if err != nil {
				t.Errorf("%s: %s: %v", name, r.Path, err)
				continue
			}
			back, err := dagcbor.FromJSON(text, dagcbor.Limits{Foreign: true, Size: dagcbor.MaxItemSize})
			if err != nil || !bytes.Equal(back, r.Block) {
				t.Errorf("%s: %s: does not come back from JSON: %v", name, r.Path, err)
			}
		}
		// Written again in streaming order it is the same repository.
		var nodes []mst.Node
		if _, err := repo.Verify(bytes.NewReader(b), "", nil, repo.VerifyOptions{
			Node: func(n mst.Node) error { nodes = append(nodes, n); return nil },
		}); err != nil {
			t.Fatal(err)
		}
		again, err := repo.Verify(bytes.NewReader(streamed(t, a.Block, nodes, a.Records)), a.Commit.DID, nil, repo.VerifyOptions{Buffer: 1})
		if err != nil || again.CID != a.CID || again.Count != a.Count || !again.Streamed {
			t.Errorf("%s: in streaming order: %+v, %v", name, again, err)
		}
	}
	t.Logf("car/real: %d vectors", len(wants))
}

// streamed writes an archive in streaming order: a node hangs after a key, and
// stands behind that key's record.
func streamed(t testing.TB, commit []byte, nodes []mst.Node, records []repo.ImportedRecord) []byte {
	t.Helper()
	b := car.AppendHeader(nil, dagcbor.CID(commit))
	b = car.AppendSection(b, dagcbor.CID(commit), commit)
	for len(nodes) > 0 || len(records) > 0 {
		if len(nodes) > 0 && (len(records) == 0 || nodes[0].After < records[0].Path) {
			b = car.AppendSection(b, nodes[0].CID, nodes[0].Block)
			nodes = nodes[1:]
			continue
		}
		b = car.AppendSection(b, records[0].CID, records[0].Block)
		records = records[1:]
	}
	return b
}

const someDID = "did:plc:vectorvectorvectorvector"

// aRepo is a signed repository of n records with keys of their own, some of them
// equal, and its blocks in streaming order.
type aRepo struct {
	key     *atcrypto.PrivateKeyK256
	commit  []byte
	nodes   []mst.Node
	records []repo.ImportedRecord
}

func makeRepo(t testing.TB, n int) *aRepo {
	t.Helper()
	records := make([]repo.ImportedRecord, n)
	for i := range records {
		block, err := dagcbor.FromJSON(fmt.Appendf(nil, `{"$type":"com.example.thing","text":%q,"n":%d}`, strings.Repeat("text ", 30), i-i%7), dagcbor.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		records[i] = repo.ImportedRecord{Path: fmt.Sprintf("com.example.thing/%08d", i), CID: dagcbor.CID(block), Block: block}
	}
	return repoOf(t, records)
}

func repoOf(t testing.TB, records []repo.ImportedRecord) *aRepo {
	t.Helper()
	r := &aRepo{records: records}
	root, err := mst.Build(pairs(records), nil)
	if err != nil {
		t.Fatal(err)
	}
	blocks := mst.Blocks{}
	if _, err := mst.Build(pairs(records), blocks.Add); err != nil {
		t.Fatal(err)
	}
	if err := mst.Visit(root, blocks.Load, func(n mst.Node) error { r.nodes = append(r.nodes, n); return nil }, nil); err != nil {
		t.Fatal(err)
	}
	if r.key, err = atcrypto.GeneratePrivateKeyK256(); err != nil {
		t.Fatal(err)
	}
	r.sign(t, repo.SignedCommit{DID: someDID, Rev: 1 << 60, Data: root})
	return r
}

func (r *aRepo) sign(t testing.TB, c repo.SignedCommit) {
	t.Helper()
	var err error
	if c.Sig, err = r.key.HashAndSign(c.Unsigned()); err != nil {
		t.Fatal(err)
	}
	r.commit = c.Block()
}

func (r *aRepo) public(t testing.TB) atcrypto.PublicKey {
	t.Helper()
	k, err := r.key.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func pairs(records []repo.ImportedRecord) iter.Seq2[string, cid.Cid] {
	return func(yield func(string, cid.Cid) bool) {
		for _, r := range records {
			if !yield(r.Path, r.CID) {
				return
			}
		}
	}
}

// sections are the blocks of an archive.
func sections(t testing.TB, b []byte) (out [][2][]byte) {
	t.Helper()
	r, err := car.NewReader(bytes.NewReader(b), car.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	for {
		c, data, err := r.Next()
		if err == io.EOF {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, [2][]byte{c.Bytes(), data})
	}
}

func join(root cid.Cid, blocks [][2][]byte) []byte {
	b := car.AppendHeader(nil, root)
	for _, s := range blocks {
		b = car.AppendSectionRaw(b, s[0], s[1])
	}
	return b
}

func TestVerifyAnyOrder(t *testing.T) {
	defer goleak.VerifyNone(t)
	for _, n := range []int{0, 1, 30, 3000} {
		r := makeRepo(t, n)
		inOrder := streamed(t, r.commit, r.nodes, r.records)
		blocks := sections(t, inOrder)
		root := dagcbor.CID(r.commit)

		shuffled := slices.Clone(blocks)
		rand.New(rand.NewPCG(1, uint64(n))).Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		backwards := slices.Clone(blocks)
		slices.Reverse(backwards)
		var once [][2][]byte
		seen := map[string]bool{}
		for _, b := range blocks {
			if !seen[string(b[0])] {
				once = append(once, b)
			}
			seen[string(b[0])] = true
		}
		stranger := []byte("\xa1\x61a\x63not")
		strange := append(slices.Clone(blocks), [2][]byte{dagcbor.CID(stranger).Bytes(), stranger})

		for name, b := range map[string][]byte{
			"streaming": inOrder,
			"shuffled":  join(root, shuffled),
			"backwards": join(root, backwards),
			"twice":     join(root, append(slices.Clone(blocks), blocks...)),
			"each twice": join(root, slices.Collect(func(yield func([2][]byte) bool) {
				for _, s := range blocks {
					if !yield(s) {
						return
					}
					if !yield(s) {
						return
					}
				}
			})),
			"shared once": join(root, once),
			"unlinked":    join(root, strange),
			"more roots":  append(car.AppendHeader(nil, root, dagcbor.CID(nil)), inOrder[car.HeaderLen(root):]...),
		} {
			var nodes []mst.Node
			var records []repo.ImportedRecord
			a, err := repo.Verify(iotest.HalfReader(bytes.NewReader(b)), someDID, r.public(t), repo.VerifyOptions{
				Node:   func(n mst.Node) error { nodes = append(nodes, n); return nil },
				Record: func(r repo.ImportedRecord) error { records = append(records, r); return nil },
			})
			if err != nil {
				t.Errorf("%d records, %s: %v", n, name, err)
				continue
			}
			if a.Count != n || a.Nodes != len(r.nodes) || len(a.Invalid) > 0 || a.Records != nil || a.CID != root {
				t.Errorf("%d records, %s: %d records, %d nodes", n, name, a.Count, a.Nodes)
			}
			if a.Streamed != (name != "shuffled" && name != "backwards" && name != "each twice") && n > 1 {
				t.Errorf("%d records, %s: streamed is %v", n, name, a.Streamed)
			}
			for i, got := range records {
				if want := r.records[i]; got.Path != want.Path || got.CID != want.CID || !bytes.Equal(got.Block, want.Block) {
					t.Fatalf("%d records, %s: record %d is %s", n, name, i, got.Path)
				}
			}
			for i, got := range nodes {
				want := r.nodes[i]
				if got.CID != want.CID || got.Level != want.Level || got.After != want.After || !bytes.Equal(got.Block, want.Block) {
					t.Fatalf("%d records, %s: node %d is %s", n, name, i, got.CID)
				}
			}
		}

		// Any one block left out, or any one bit changed, and it is refused.
		for i := range min(len(once), 40) {
			if _, err := repo.Verify(bytes.NewReader(join(root, slices.Delete(slices.Clone(once), i, i+1))), someDID, nil, repo.VerifyOptions{}); !errors.Is(err, repo.ErrIncomplete) {
				t.Errorf("%d records, block %d left out: %v", n, i, err)
			}
			bit := bytes.Clone(inOrder)
			bit[(i*997+31)%len(bit)] ^= 1 << (i % 8)
			if _, err := repo.Verify(bytes.NewReader(bit), someDID, r.public(t), repo.VerifyOptions{}); err == nil {
				t.Errorf("%d records: a changed bit was not noticed", n)
			}
		}
	}
}

func TestVerifyRefuses(t *testing.T) {
	defer goleak.VerifyNone(t)
	r := makeRepo(t, 500)
	good := streamed(t, r.commit, r.nodes, r.records)
	root := dagcbor.CID(r.commit)
	blocks := sections(t, good)
	backwards := slices.Clone(blocks)
	slices.Reverse(backwards)
	other, err := atcrypto.GeneratePrivateKeyP256()
	if err != nil {
		t.Fatal(err)
	}
	otherKey, err := other.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	mine := errors.New("enough")
	for name, c := range map[string]struct {
		car  []byte
		did  string
		key  atcrypto.PublicKey
		opts repo.VerifyOptions
		want error
	}{
		"no root":         {car: append(car.AppendHeader(nil), good[car.HeaderLen(root):]...), want: repo.ErrNoRoot},
		"raw root":        {car: join(dagcbor.RawCID(r.commit), blocks), want: repo.ErrIncomplete},
		"root is a node":  {car: join(r.nodes[0].CID, blocks), want: repo.ErrCommit},
		"another account": {car: good, did: "did:web:example.com", want: repo.ErrOtherDID},
		"another key":     {car: good, key: otherKey, want: repo.ErrSignature},
		"too many":        {car: good, opts: repo.VerifyOptions{Records: 499}, want: repo.ErrTooManyRecords},
		"too large":       {car: good, opts: repo.VerifyOptions{Archive: car.Limits{Total: 1000}}, want: car.ErrLimit},
		"out of order":    {car: join(root, backwards), opts: repo.VerifyOptions{Buffer: 1000}, want: repo.ErrOutOfOrder},
		"enough records": {car: good, want: mine, opts: repo.VerifyOptions{
			Record: func(repo.ImportedRecord) error { return mine }}},
		"enough nodes": {car: good, want: mine, opts: repo.VerifyOptions{
			Node: func(mst.Node) error { return mine }}},
		"cut": {car: good[:len(good)-1], want: car.ErrTruncated},
	} {
		if _, err := repo.Verify(bytes.NewReader(c.car), c.did, c.key, c.opts); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}

	// A record too large is refused alone.
	a, err := repo.Verify(bytes.NewReader(good), "", nil, repo.VerifyOptions{RecordSize: 100})
	if err != nil || a.Count != 500 || len(a.Invalid) != 500 || !errors.Is(a.Records[0].Err, dagcbor.ErrSize) || !errors.Is(a.Records[0].Err, repo.ErrRecord) {
		t.Errorf("large records: %+v, %v", a, err)
	}
}

func TestVerifyKeys(t *testing.T) {
	block := []byte("\xa1\x61a\x01")
	for path, ok := range map[string]bool{
		"com.example.thing/" + strings.Repeat("a", 512): true,
		"com.example.thing/" + strings.Repeat("a", 513): false,
		"com.example.thing/a:b~c_d-e.f":                 true,
		"com.example.thing/.":                           false,
		"com.example.thing/..":                          false,
		"com.example.thing/":                            false,
		"/a":                                            false,
		"thing/a":                                       false,
		"com.example/a":                                 false,
		"com.example.thing/é":                           false,
		"com.example.thing/a/":                          false,
	} {
		r := repoOf(t, []repo.ImportedRecord{{Path: path, CID: dagcbor.CID(block), Block: block}})
		_, err := repo.Verify(bytes.NewReader(streamed(t, r.commit, r.nodes, r.records)), someDID, r.public(t), repo.VerifyOptions{})
		if (err == nil) != ok || !ok && !errors.Is(err, repo.ErrPath) {
			t.Errorf("%.40s: %v", path, err)
		}
	}
	// A record linked as raw bytes is there and is no record.
	r := repoOf(t, []repo.ImportedRecord{{Path: "com.example.thing/a", CID: dagcbor.RawCID(block), Block: block}})
	a, err := repo.Verify(bytes.NewReader(streamed(t, r.commit, r.nodes, r.records)), someDID, r.public(t), repo.VerifyOptions{})
	if err != nil || len(a.Invalid) != 1 {
		t.Errorf("raw record: %+v, %v", a, err)
	}
}

// FuzzVerify: no archive crashes the importer, and what it takes is complete: it
// can be written again in streaming order and read with no buffer.
func FuzzVerify(f *testing.F) {
	for _, n := range []int{0, 1, 12} {
		r := makeRepo(f, n)
		f.Add(streamed(f, r.commit, r.nodes, r.records))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var nodes []mst.Node
		a, err := repo.Verify(bytes.NewReader(b), "", nil, repo.VerifyOptions{
			Node:   func(n mst.Node) error { nodes = append(nodes, n); return nil },
			Buffer: 1 << 20, Archive: car.Limits{Total: 1 << 20},
		})
		if err != nil {
			return
		}
		again, err := repo.Verify(bytes.NewReader(streamed(t, a.Block, nodes, a.Records)), a.Commit.DID, nil, repo.VerifyOptions{Buffer: 1})
		if err != nil || again.CID != a.CID || again.Count != a.Count {
			t.Fatalf("written again: %+v, %v", again, err)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	for _, n := range []int{10_000, 100_000} {
		r := makeRepo(b, n)
		inOrder := streamed(b, r.commit, r.nodes, r.records)
		blocks := sections(b, inOrder)
		rand.New(rand.NewPCG(1, 2)).Shuffle(len(blocks), func(i, j int) { blocks[i], blocks[j] = blocks[j], blocks[i] })
		for name, archive := range map[string][]byte{"streaming": inOrder, "shuffled": join(dagcbor.CID(r.commit), blocks)} {
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				b.SetBytes(int64(len(archive)))
				b.ReportAllocs()
				key := r.public(b)
				for b.Loop() {
					a, err := repo.Verify(bytes.NewReader(archive), someDID, key, repo.VerifyOptions{
						Record: func(repo.ImportedRecord) error { return nil },
					})
					if err != nil || a.Count != n {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
