package main

import (
	"encoding/json"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/auroralocus/locus/internal/blob/blobtest"
)

// TestBlobStoreKeys: a tenant has a bucket with keys of its own, and a command with a wrong key changes nothing, also
// not for what is in that bucket already.
func TestBlobStoreKeys(t *testing.T) {
	endpoint, stop, err := blobtest.Start()
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	bucket, err := blobtest.Bucket(t.Context(), endpoint, "tenants-own")
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "data")
	s := serve(t, dir)
	defer s.stop()
	store := func(place, access, secret string) (string, error) {
		cmd := locus(t, "blob", "store", "localhost", place, "--access-key", access, "--secret-key", "-", "--dev", "--data-dir", dir)
		cmd.Stdin = strings.NewReader(secret + "\n")
		out, err := cmd.CombinedOutput()
		if strings.Contains(string(out), blobtest.SecretKey) {
			t.Errorf("the key is told: %s", out)
		}
		return string(out), err
	}
	if out, err := store(bucket, blobtest.AccessKey, "not the key"); err == nil {
		t.Errorf("a wrong key for a new place: %s", out)
	}
	if out, errs, err := run(t, "blob", "store", "localhost", bucket, "--dev", "--data-dir", dir); err == nil {
		t.Errorf("no key at all: %s%s", out, errs)
	}
	if out, err := store(bucket, blobtest.AccessKey, blobtest.SecretKey); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	alice := s.signIn("alice.test")
	a := &acknowledged{data: []byte("in a bucket of the tenant's own")}
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(500 * time.Millisecond) { // the server follows in a moment
		status, answer, err := alice.do("POST", "com.atproto.repo.uploadBlob", "application/x-test", a.data)
		var out struct{ Blob json.RawMessage }
		if err != nil || status != http.StatusOK || json.Unmarshal(answer, &out) != nil {
			t.Fatalf("upload: %d %s %v", status, answer, err)
		}
		a.ref = out.Blob
		if n, err := blobtest.Objects(t.Context(), endpoint); err != nil {
			t.Fatal(err)
		} else if n == 1 {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the upload is not in the bucket")
		}
		a.data = append(a.data, '.')
	}
	if status, answer, err := alice.do("POST", "com.atproto.repo.createRecord", "application/json", a.record(alice.did, "one")); err != nil || status != http.StatusOK {
		t.Fatalf("record: %d %s %v", status, answer, err)
	}
	if out, err := store(bucket, blobtest.AccessKey, "not the key any more"); err == nil {
		t.Errorf("a wrong key for a place in use: %s", out)
	}
	// Another process has the keys from the database.
	if out, errs, err := run(t, "blob", "verify", "localhost", "--deep", "--dev", "--data-dir", dir); err != nil {
		t.Errorf("%v\n%s%s", err, out, errs)
	}
	alice.has(a)
}
