package repo_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"testing"

	"github.com/bluesky-social/indigo/atproto/atcrypto"
	"github.com/bluesky-social/indigo/atproto/atdata"
	"github.com/ipfs/go-cid"
	"github.com/klauspost/compress/zstd"

	"github.com/auroralocus/locus/internal/vectors"
	"github.com/auroralocus/locus/repo"
	"github.com/auroralocus/locus/repo/car"
	"github.com/auroralocus/locus/repo/dagcbor"
	"github.com/auroralocus/locus/repo/dagcbor/dagcbortest"
	"github.com/auroralocus/locus/repo/mst"
)

// TestFrames undoes what was on the wire, from each event's blocks alone, and checks the signatures.
func TestFrames(t *testing.T) {
	file := vectors.Path(t, "firehose", "frames", "frames-dev.bin.zst")
	if file == "" {
		return
	}
	packed, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	z, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	b, err := z.DecodeAll(packed, nil)
	if err != nil {
		t.Fatal(err)
	}
	keys := map[string]string{}
	vectors.JSON(t, &keys, "firehose", "frames", "did-keys-dev.json")
	commits, undone := 0, 0
	for len(b) > 0 {
		n := int(b[0]) | int(b[1])<<8 | int(b[2])<<16 | int(b[3])<<24
		frame := b[4 : 4+n]
		b = b[4+n:]
		r := dagcbor.NewReader(frame)
		if head, err := r.Skip(); err != nil {
			t.Fatal(err)
		} else if !bytes.Contains(head, []byte("#commit")) {
			continue
		}
		v, err := dagcbortest.Decode(frame[r.Offset():])
		if err != nil {
			t.Fatal(err)
		}
		commits++
		undone += checkFrame(t, v.(map[string]any), keys)
	}
	if commits == 0 || undone == 0 {
		t.Fatal(commits, undone)
	}
	t.Logf("%d commits, %d undone", commits, undone)
}

func checkFrame(t *testing.T, m map[string]any, keys map[string]string) (undone int) {
	t.Helper()
	who := m["repo"].(string)
	got := map[cid.Cid][]byte{}
	r, err := car.NewReader(bytes.NewReader(frameBytes(m["blocks"])), car.Limits{})
	for err == nil {
		var c cid.Cid
		var block []byte
		if c, block, err = r.Next(); err == nil {
			got[c] = bytes.Clone(block)
		}
	}
	if !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	c, err := repo.DecodeCommit(got[frameCID(m["commit"])])
	if err != nil || c.DID != who || c.Rev.String() != m["rev"] {
		t.Fatalf("%s: %+v, %v", who, c, err)
	}
	key, err := atcrypto.ParsePublicMultibase(keys[who])
	if err == nil {
		err = c.Verify(key)
	}
	if err != nil {
		t.Errorf("%s: %v", who, err)
	}
	var ops []repo.Op
	for _, o := range m["ops"].([]any) {
		o := o.(map[string]any)
		op := repo.Op{Path: o["path"].(string), CID: frameCID(o["cid"]), Prev: frameCID(o["prev"])}
		for _, a := range []repo.Action{repo.ActionCreate, repo.ActionUpdate, repo.ActionDelete} {
			if a.String() == o["action"] {
				op.Action = a
			}
		}
		ops = append(ops, op)
	}
	load := func(c cid.Cid) ([]byte, error) {
		if b := got[c]; b != nil {
			return b, nil
		}
		return nil, mst.ErrNotFound
	}
	if root, err := repo.Invert(ops, c.Data, load); err != nil || root != frameCID(m["prevData"]) {
		t.Errorf("%s: undone to %s: %v", who, root, err)
	}
	return 1
}

func frameBytes(v any) []byte {
	b, _ := v.(atdata.Bytes)
	return b
}

func frameCID(v any) cid.Cid {
	c, _ := v.(atdata.CIDLink)
	return c.CID()
}
