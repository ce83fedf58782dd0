package main

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// has fails unless the blob is served, whole.
func (c *blobClient) has(a *acknowledged) {
	c.s.t.Helper()
	var ref struct {
		Ref struct {
			Link string `json:"$link"`
		}
	}
	if err := json.Unmarshal(a.ref, &ref); err != nil {
		c.s.t.Error(err)
		return
	}
	status, got, err := c.do("GET", "com.atproto.sync.getBlob?did="+c.did+"&cid="+ref.Ref.Link, "", nil)
	if err != nil || status != http.StatusOK || !bytes.Equal(got, a.data) {
		c.s.t.Errorf("blob: %d, %d bytes of %d, %v", status, len(got), len(a.data), err)
	}
}

// TestKillMove kills 'locus blob move' in the middle, twice, while the tenant takes uploads and records; then it goes on
// to its end. No file is missing at any time, and verify finds nothing wrong.
func TestKillMove(t *testing.T) {
	dir, to := filepath.Join(t.TempDir(), "data"), t.TempDir()
	s := serve(t, dir)
	alice := s.signIn("alice.test")
	var mu sync.Mutex
	var acks []*acknowledged
	write := func(name string) {
		data := make([]byte, 20_000)
		_, _ = rand.Read(data)
		status, answer, err := alice.do("POST", "com.atproto.repo.uploadBlob", "application/x-test", data)
		var out struct{ Blob json.RawMessage }
		if err != nil || status != http.StatusOK || json.Unmarshal(answer, &out) != nil {
			t.Errorf("upload: %d %s %v", status, answer, err)
			return
		}
		a := &acknowledged{data: data, ref: out.Blob}
		if status, answer, err = alice.do("POST", "com.atproto.repo.createRecord", "application/json", a.record(alice.did, name)); err != nil || status != http.StatusOK {
			t.Errorf("record: %d %s %v", status, answer, err)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		acks = append(acks, a)
	}
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for n := range 60 {
				write(fmt.Sprintf("before-%d-%d", w, n))
			}
		})
	}
	wg.Wait()
	ended := make(chan struct{})
	for w := range 2 {
		wg.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-ended:
					return
				case <-time.After(20 * time.Millisecond):
					write(fmt.Sprintf("during-%d-%d", w, n))
					mu.Lock()
					a := acks[(n*7)%len(acks)]
					mu.Unlock()
					alice.has(a)
				}
			}
		})
	}
	move := []string{"blob", "move", "localhost", "--to", "disk:" + to, "--dev", "--data-dir", dir}
	for range 2 {
		had := filesBelow(t, to)
		cmd := locus(t, move...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for end := time.Now().Add(20 * time.Second); filesBelow(t, to) < had+60 && time.Now().Before(end); {
			time.Sleep(time.Millisecond)
		}
		_ = cmd.Process.Kill()
		if err := cmd.Wait(); err == nil {
			t.Error("the move came to its end before it was killed")
		}
		t.Logf("killed with %d files there", filesBelow(t, to))
	}
	out, errs, err := run(t, move...)
	close(ended)
	wg.Wait()
	if err != nil {
		t.Fatalf("move: %v\n%s%s", err, out, errs)
	}
	t.Logf("%d files in the end\n%s", len(acks), errs)
	for _, a := range acks {
		alice.has(a)
	}
	out, errs, err = run(t, "blob", "verify", "localhost", "--deep", "--dev", "--data-dir", dir)
	if err != nil {
		t.Errorf("blob verify: %v\n%s%s", err, out, errs)
	}
	t.Log(errs)
	s.stop()
}

func filesBelow(t *testing.T, folder string) (n int) {
	t.Helper()
	_ = filepath.WalkDir(folder, func(_ string, e os.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			n++
		}
		return nil // files come and go
	})
	return n
}
