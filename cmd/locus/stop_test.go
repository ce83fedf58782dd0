package main

import (
	"encoding/json"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/auroralocus/locus/db/dbtest"
)

// TestStopWithoutDatabase: with the database away, or behind a network that swallows everything, the server ends soon
// after it is asked to, whatever waits for an answer.
func TestStopWithoutDatabase(t *testing.T) {
	for name, away := range map[string]func(*dbtest.Proxy){
		"away":       func(p *dbtest.Proxy) { p.Down(true) },
		"black hole": func(p *dbtest.Proxy) { p.BlackHole(true) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := dbtest.NewProxy(t, dbtest.EmptyURL(t))
			log := new(lockedBuffer)
			s := serveAs(t, t.TempDir(), func(cmd *exec.Cmd) {
				cmd.Env = append(cmd.Env, "LOCUS_DATABASE_URL="+p.URL())
				cmd.Stderr = log
			})
			status, body := s.post("localhost", "com.atproto.server.createSession", "", map[string]string{"identifier": "alice.test", "password": devPassword})
			var session struct{ AccessJwt, DID string }
			if err := json.Unmarshal([]byte(body), &session); err != nil || status != http.StatusOK {
				t.Fatal(status, body, err)
			}
			away(p)
			var waiting sync.WaitGroup
			for _, call := range []string{"com.atproto.repo.createRecord", "com.atproto.server.createAppPassword", "com.atproto.server.createSession"} {
				for range 5 {
					waiting.Go(func() {
						text := `{"repo":"` + session.DID + `","collection":"app.bsky.feed.post","record":{"$type":"app.bsky.feed.post","text":"x","createdAt":"2026-01-01T00:00:00Z"}}`
						if call != "com.atproto.repo.createRecord" {
							text = `{"name":"x","identifier":"beta.localhost","password":"` + devPassword + `"}`
						}
						r, err := http.NewRequest(http.MethodPost, "http://127.0.0.1:"+s.port+"/xrpc/"+call, strings.NewReader(text))
						if err != nil {
							t.Error(err)
							return
						}
						r.Host = "localhost"
						r.Header.Set("Content-Type", "application/json")
						r.Header.Set("Authorization", "Bearer "+session.AccessJwt)
						if answer, err := http.DefaultClient.Do(r); err == nil { // or it is cut
							answer.Body.Close()
							if answer.StatusCode < 500 {
								t.Errorf("%s: %d", call, answer.StatusCode)
							}
						}
					})
				}
			}
			time.Sleep(300 * time.Millisecond)
			began := time.Now()
			s.stop()
			took := time.Since(began)
			waiting.Wait()
			t.Logf("ended after %v", took)
			if took > 25*time.Second { // 5 s, and what a busy machine adds
				t.Errorf("ended after %v\n%s", took, log)
			}
		})
	}
}
