package account

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"github.com/auroralocus/locus/internal/blob"
)

// file is a blob in memory.
type file struct{ *bytes.Reader }

func (file) Close() error { return nil }

// manyFiles is an archive of n small files.
func manyFiles(t *testing.T, n int) (*archive, []cid.Cid) {
	t.Helper()
	all := make([]cid.Cid, n)
	for i := range all {
		sum, err := multihash.Sum([]byte{byte(i), byte(i >> 8), byte(i >> 16)}, multihash.SHA2_256, -1)
		if err != nil {
			t.Fatal(err)
		}
		all[i] = cid.NewCidV1(cid.Raw, sum)
	}
	slices.SortFunc(all, func(a, b cid.Cid) int { return bytes.Compare(a.Bytes(), b.Bytes()) })
	a := &archive{at: time.Now(), files: func(_ context.Context, after cid.Cid) ([]cid.Cid, error) {
		from := 0
		if after.Defined() {
			from = slices.Index(all, after) + 1
		}
		return all[from:min(len(all), from+filePage)], nil
	}, open: func(_ context.Context, c cid.Cid) (*blob.Opened, error) {
		return &blob.Opened{ReadSeekCloser: file{bytes.NewReader(c.Bytes())}, Info: blob.Info{CID: c, MimeType: "image/png"}}, nil
	}}
	return a, all
}

// An archive holds so many files and no more: its list is in memory. The rest is in the next.
func TestArchiveParts(t *testing.T) {
	t.Parallel()
	a, all := manyFiles(t, archiveFiles+3)
	for part, want := range []int{archiveFiles, 3} {
		var out bytes.Buffer
		if err := a.write(t.Context(), &out); err != nil {
			t.Fatal(err)
		}
		z, err := zip.NewReader(bytes.NewReader(out.Bytes()), int64(out.Len()))
		if err != nil {
			t.Fatal(err)
		}
		if len(z.File) != want || z.File[0].Name != "blobs/"+all[part*archiveFiles].String()+".png" {
			t.Errorf("part %d has %d files, the first is %s", part+1, len(z.File), z.File[0].Name)
		}
		a.after = all[archiveFiles-1]
	}
}

// A store that fails in the middle ends the archive with an error: no end is written that would make it look whole.
func TestArchiveBreaks(t *testing.T) {
	t.Parallel()
	a, all := manyFiles(t, 10)
	whole := a.open
	a.open = func(ctx context.Context, c cid.Cid) (*blob.Opened, error) {
		switch c {
		case all[2]:
			return nil, blob.ErrNotFound // deleted meanwhile
		case all[7]:
			return nil, blob.ErrStore
		}
		return whole(ctx, c)
	}
	var out bytes.Buffer
	if err := a.write(t.Context(), &out); !errors.Is(err, blob.ErrStore) {
		t.Fatal(err)
	}
	if _, err := zip.NewReader(bytes.NewReader(out.Bytes()), int64(out.Len())); err == nil {
		t.Error("a part looks like the whole")
	}
}
