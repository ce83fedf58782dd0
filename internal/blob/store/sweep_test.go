package store

import (
	"slices"
	"testing"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/internal/blob/blobtest"
	"github.com/auroralocus/locus/repo/dagcbor"
	"github.com/minio/minio-go/v7"
)

// TestSweepLeavesOthers: in a bucket that others use too, their unfinished uploads are theirs.
func TestSweepLeavesOthers(t *testing.T) {
	endpoint, stop, err := blobtest.Start()
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	location, err := blobtest.Bucket(t.Context(), endpoint, "shared")
	if err != nil {
		t.Fatal(err)
	}
	at, err := newS3(location, Credentials{AccessKey: blobtest.AccessKey, SecretKey: blobtest.SecretKey}, t.TempDir(), time.Minute, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	schema, err := db.ParseSchema("t_7")
	if err != nil {
		t.Fatal(err)
	}
	ours := NewObject(schema, "did:plc:abc", dagcbor.RawCID([]byte("x")))
	keys := []string{"backup/all.tar", "t_1/notes.txt", ours, QuarantineFolder + ours}
	for _, key := range keys {
		if _, err := at.core.NewMultipartUpload(t.Context(), at.bucket, at.prefix+key, minio.PutObjectOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := at.Sweep(t.Context(), time.Now().Add(time.Hour), nil); err != nil {
		t.Fatal(err)
	}
	var left []string
	for u := range at.core.Client.ListIncompleteUploads(t.Context(), at.bucket, at.prefix, true) {
		if u.Err != nil {
			t.Fatal(u.Err)
		}
		left = append(left, u.Key[len(at.prefix):])
	}
	slices.Sort(left)
	if !slices.Equal(left, keys[:2]) {
		t.Errorf("left: %v", left)
	}
}
