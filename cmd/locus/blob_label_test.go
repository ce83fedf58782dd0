package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/auroralocus/locus/db/dbtest"
)

// TestFoldersOfNodes: two servers on one database. The one whose data folder is another one has no files, says so once,
// and repairs nothing; it has them as soon as it sees the right folder, and so has one whose disk was away.
func TestFoldersOfNodes(t *testing.T) {
	url := dbtest.URL(t)
	dirs := [2]string{filepath.Join(t.TempDir(), "one"), filepath.Join(t.TempDir(), "two")}
	var logs [2]lockedBuffer
	var clients [2]*blobClient
	key := strings.Repeat("cd", 32)
	for i, dir := range dirs {
		s := serveAs(t, dir, func(c *exec.Cmd) {
			c.Env = append(c.Env, "LOCUS_DATABASE_URL="+url, "LOCUS_MASTER_KEY="+key)
			c.Stderr = &logs[i]
		})
		defer s.stop()
		clients[i] = s.signIn("alice.test")
	}
	verify := func(i int, more ...string) (string, error) {
		cmd := locus(t, append([]string{"blob", "verify", "localhost", "--dev", "--data-dir", dirs[i]}, more...)...)
		cmd.Env = append(cmd.Env, "LOCUS_DATABASE_URL="+url, "LOCUS_MASTER_KEY="+key)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	data := []byte("on the first machine")
	upload := func(i int) (int, json.RawMessage) {
		status, answer, err := clients[i].do("POST", "com.atproto.repo.uploadBlob", "application/x-test", data)
		if err != nil {
			t.Fatal(err)
		}
		var out struct{ Blob json.RawMessage }
		if status == http.StatusOK {
			err = json.Unmarshal(answer, &out)
		}
		if err != nil {
			t.Fatal(err)
		}
		return status, out.Blob
	}
	status, ref := upload(0)
	if status != http.StatusOK {
		t.Fatal(status)
	}
	a := &acknowledged{data: data, ref: ref}
	if status, answer, err := clients[0].do("POST", "com.atproto.repo.createRecord", "application/json", a.record(clients[0].did, "one")); err != nil || status != http.StatusOK {
		t.Fatal(status, string(answer), err)
	}
	var link struct {
		Ref struct {
			Link string `json:"$link"`
		}
	}
	if err := json.Unmarshal(ref, &link); err != nil {
		t.Fatal(err)
	}
	// gets waits for an answer: the label is looked for at most once a second after it was not found.
	gets := func(i, want int) {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); ; time.Sleep(100 * time.Millisecond) {
			status, got, err := clients[i].do("GET", fmt.Sprintf("com.atproto.sync.getBlob?did=%s&cid=%s", clients[i].did, link.Ref.Link), "", nil)
			if err != nil {
				t.Fatal(err)
			}
			if status == want && (want != http.StatusOK || bytes.Equal(got, data)) {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("node %d: %d %s, want %d", i, status, got, want)
			}
		}
	}
	gets(0, http.StatusOK)
	for range 5 {
		gets(1, http.StatusServiceUnavailable)
	}
	if status, _ := upload(1); status != http.StatusServiceUnavailable {
		t.Errorf("upload into the wrong folder: %d", status)
	}
	if out, err := verify(1, "--repair"); err == nil || !strings.Contains(out, "AWAY") || !strings.Contains(out, "adopt-folder") {
		t.Errorf("verify on the wrong machine: %v\n%s", err, out)
	}
	if n := strings.Count(logs[1].String(), "level=ERROR"); n != 1 {
		t.Errorf("%d errors in the log:\n%s", n, logs[1].String())
	}
	if got, err := os.ReadDir(filepath.Join(dirs[1], "blobs")); err == nil {
		t.Errorf("the second machine has %v", got)
	}
	if out, err := verify(0, "--repair", "--deep"); err != nil {
		t.Errorf("verify: %v\n%s", err, out)
	}
	gets(0, http.StatusOK)
	// The folder is shared.
	if err := os.MkdirAll(dirs[1], 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(dirs[0], "blobs"), filepath.Join(dirs[1], "blobs")); err != nil {
		t.Fatal(err)
	}
	gets(1, http.StatusOK)
	// Its disk goes, and comes.
	if err := os.Rename(filepath.Join(dirs[0], "blobs"), filepath.Join(dirs[0], "away")); err != nil {
		t.Fatal(err)
	}
	gets(0, http.StatusServiceUnavailable)
	gets(1, http.StatusServiceUnavailable)
	if out, err := verify(0, "--repair"); err == nil || !strings.Contains(out, "AWAY") {
		t.Errorf("verify without the disk: %v\n%s", err, out)
	}
	if err := os.Rename(filepath.Join(dirs[0], "away"), filepath.Join(dirs[0], "blobs")); err != nil {
		t.Fatal(err)
	}
	gets(0, http.StatusOK)
	gets(1, http.StatusOK)
	if out, err := verify(1, "--deep"); err != nil {
		t.Errorf("verify: %v\n%s", err, out)
	}
	for i := range logs {
		if n := strings.Count(logs[i].String(), "is there again"); n < 1 {
			t.Errorf("node %d does not say that its files are there again", i)
		}
	}
}
