package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	mrand "math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// blobClient speaks to a server that is killed under it.
type blobClient struct {
	s          *served
	token, did string
}

// do gives the answer, or an error when there is none.
func (c *blobClient) do(verb, path, contentType string, body []byte) (status int, answer []byte, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, verb, "http://127.0.0.1:"+c.s.port+"/xrpc/"+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	r.Host = "localhost"
	r.Header.Set("Authorization", "Bearer "+c.token)
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	answer, err = io.ReadAll(resp.Body)
	return resp.StatusCode, answer, err
}

func (s *served) signIn(handle string) *blobClient {
	s.t.Helper()
	status, body := s.post("localhost", "com.atproto.server.createSession", "", map[string]string{"identifier": handle, "password": devPassword})
	if status != http.StatusOK {
		s.t.Fatalf("sign in: %d %s", status, body)
	}
	var session struct{ AccessJwt, DID string }
	if err := json.Unmarshal([]byte(body), &session); err != nil {
		s.t.Fatal(err)
	}
	return &blobClient{s, session.AccessJwt, session.DID}
}

// acknowledged is what the server said it has.
type acknowledged struct {
	data []byte
	ref  json.RawMessage
	rkey string // of the record that refers to it; "": none yet
}

// TestKillDuringUploads kills the server in the middle of a thousand uploads and record writes, and then takes from the
// disk what a machine without power may lose: files that only the journal was synced for. What was acknowledged is there,
// whole, and verify finds nothing wrong.
func TestKillDuringUploads(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	var mu sync.Mutex
	var acks []*acknowledged
	var uploads atomic.Int64
	hurt := 0
	for round := 0; uploads.Load() < 1000; round++ {
		if round == 50 {
			t.Fatalf("only %d uploads in %d rounds", uploads.Load(), round)
		}
		s := serve(t, dir)
		alice := s.signIn("alice.test")
		kill := time.AfterFunc(time.Duration(300+mrand.IntN(1200))*time.Millisecond, func() { _ = s.cmd.Process.Signal(syscall.SIGKILL) })
		var wg sync.WaitGroup
		for worker := range 16 {
			wg.Go(func() {
				for n := 0; ; n++ {
					data := make([]byte, 1+mrand.IntN(200_000))
					_, _ = rand.Read(data)
					uploads.Add(1)
					status, answer, err := alice.do("POST", "com.atproto.repo.uploadBlob", "application/x-test", data)
					if err != nil {
						return // killed
					}
					if status != http.StatusOK {
						t.Errorf("upload: %d %s", status, answer)
						return
					}
					var out struct{ Blob json.RawMessage }
					if err := json.Unmarshal(answer, &out); err != nil {
						t.Error(err)
						return
					}
					a := &acknowledged{data: data, ref: out.Blob}
					rkey := fmt.Sprintf("%d-%d-%d", round, worker, n)
					keep := func() {
						mu.Lock()
						defer mu.Unlock()
						acks = append(acks, a)
					}
					if n%4 == 0 {
						keep() // temporary
						continue
					}
					status, answer, err = alice.do("POST", "com.atproto.repo.createRecord", "application/json", a.record(alice.did, rkey))
					if err != nil {
						keep() // whether or not there is the record
						return
					}
					if status != http.StatusOK {
						t.Errorf("record: %d %s", status, answer)
						return
					}
					if n%4 < 3 {
						a.rkey = rkey
						keep()
						continue
					}
					_, _, _ = alice.do("POST", "com.atproto.repo.deleteRecord", "application/json",
						fmt.Appendf(nil, `{"repo":%q,"collection":"com.example.file","rkey":%q}`, alice.did, rkey))
				}
			})
		}
		wg.Wait()
		kill.Stop()
		<-s.done
		http.DefaultClient.CloseIdleConnections()
		hurt += losePower(t, filepath.Join(dir, "blobs"))
	}
	if hurt == 0 {
		t.Error("nothing was in the journal")
	}
	s := serve(t, dir)
	alice := s.signIn("alice.test")
	t.Logf("%d uploads begun, %d acknowledged and kept, %d files hurt", uploads.Load(), len(acks), hurt)
	for i, a := range acks {
		if a.rkey == "" { // a record may still refer to it
			status, answer, err := alice.do("POST", "com.atproto.repo.createRecord", "application/json", a.record(alice.did, fmt.Sprintf("after-%d", i)))
			if err != nil || status != http.StatusOK {
				t.Errorf("record after: %d %s %v", status, answer, err)
				continue
			}
		}
		var ref struct {
			Ref struct {
				Link string `json:"$link"`
			}
		}
		if err := json.Unmarshal(a.ref, &ref); err != nil {
			t.Fatal(err)
		}
		status, got, err := alice.do("GET", "com.atproto.sync.getBlob?did="+alice.did+"&cid="+ref.Ref.Link, "", nil)
		if err != nil || status != http.StatusOK || !bytes.Equal(got, a.data) {
			t.Errorf("acknowledged blob: %d, %d bytes of %d, %v", status, len(got), len(a.data), err)
		}
	}
	out, errs, err := run(t, "blob", "verify", "localhost", "--deep", "--dev", "--data-dir", dir)
	if err != nil {
		t.Errorf("blob verify: %v\n%s%s", err, out, errs)
	}
	t.Log(errs)
	if out, errs, err := run(t, "repo", "check", "localhost", "--data-dir", dir); err != nil {
		t.Errorf("repo check: %v\n%s%s", err, out, errs)
	}
	s.stop()
}

func (a *acknowledged) record(did, rkey string) []byte {
	return fmt.Appendf(nil, `{"repo":%q,"collection":"com.example.file","rkey":%q,"record":{"file":%s}}`, did, rkey, a.ref)
}

var journaledObject = regexp.MustCompile(`t_[0-9a-z]+/[0-9a-f]{2}/did:plc:[a-z2-7]+/bafkrei[a-z2-7]+\.[a-z0-9]+`)

// losePower damages the files that a dead server's journals are there for, and says how many.
func losePower(t *testing.T, blobs string) (hurt int) {
	t.Helper()
	journals, err := filepath.Glob(filepath.Join(blobs, ".incoming", "journal-*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range journals {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		const magic, epoch, toName = 21, 16, 36
		for _, at := range journaledObject.FindAllIndex(text, -1) {
			if !bytes.Equal(text[at[0]-toName:at[0]-toName+epoch], text[magic:magic+epoch]) {
				continue // of a use before: the file was synced
			}
			object := filepath.Join(blobs, string(text[at[0]:at[1]]))
			info, err := os.Stat(object)
			if err != nil {
				continue // deleted
			}
			switch mrand.IntN(4) {
			case 0:
				err = os.Remove(object)
			case 1:
				err = os.Truncate(object, mrand.Int64N(max(info.Size(), 1)))
			case 2:
				err = os.WriteFile(object, make([]byte, info.Size()), 0o600)
			default:
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			hurt++
		}
	}
	return hurt
}
