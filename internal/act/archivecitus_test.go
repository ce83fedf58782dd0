package act_test

import (
	"bytes"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/archive"
	"github.com/auroralocus/locus/internal/blob"
)

// A backup of a tenant on a worker of a Citus cluster takes the place of what was written since, and the tenant is whole.
func TestArchiveWithinCitus(t *testing.T) {
	if !dbtest.Citus(t) {
		return
	}
	w := onCitus(t, 30)
	d, r, _ := w.process()
	log := slog.New(slog.DiscardHandler)
	blobs := blob.New(d, w.keys, time.Now, log, blob.Config{Stores: blob.StoreConfig{DataDir: t.TempDir()}})
	t.Cleanup(blobs.Close)
	archives := act.NewArchives(d, r, w.parts.Hub, &archive.Store{DB: d, Blobs: blobs, Keys: w.keys, Now: time.Now, Log: log, Program: "test"}, time.Now, log)
	var file bytes.Buffer
	if _, _, err := archives.Backup(t.Context(), w.now2(r), act.Operator{}, &file, archive.Options{Blobs: archive.BlobsIncluded}); err != nil {
		t.Fatal(err)
	}
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(file.Bytes())), nil }
	if _, err := archives.Restore(t.Context(), act.Operator{}, act.Restore{Open: open, Replace: true}); err != nil {
		t.Fatal(err)
	}
	w.prove(w.tenant.NodeID)
}
