package handlers

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// upstream is a service elsewhere: it notes what it is asked, and answers as the test says.
type upstream struct {
	t      testing.TB
	server *httptest.Server
	did    string
	plain  bool // bodies are the answer's to read, and not noted

	mu     sync.Mutex
	got    []came
	answer http.HandlerFunc // nil: {"ok":true}
}

// came is one request as it was heard.
type came struct {
	method, target string
	header         http.Header
	length         int64
	body           []byte
}

// newUpstream starts a service with a did:web of its own, whose document names every service that a test asks for.
func newUpstream(t testing.TB) *upstream {
	t.Helper()
	u := &upstream{t: t}
	u.server = httptest.NewServer(u)
	t.Cleanup(func() {
		u.server.CloseClientConnections()
		u.server.Close()
	})
	u.did = "did:web:localhost%3A" + u.port()
	return u
}

func (u *upstream) port() string { return u.server.URL[strings.LastIndexByte(u.server.URL, ':')+1:] }

// as is the service as settings name it.
func (u *upstream) as(id string) string { return u.did + "#" + id + "=" + u.server.URL }

// header is the service as a client names it.
func (u *upstream) header(id string) string { return "Atproto-Proxy: " + u.did + "#" + id }

func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/.well-known/did.json" {
		var services list
		for _, id := range []string{"bsky_appview", "atproto_labeler", "bsky_notif", "bsky_chat"} {
			services = append(services, obj{"id": "#" + id, "type": "Whatever", "serviceEndpoint": u.server.URL + "/with/a/path"})
		}
		services = append(services, obj{"id": "#bad_url", "type": "X", "serviceEndpoint": "ftp://localhost/"})
		_ = json.NewEncoder(w).Encode(obj{"id": u.did, "service": services})
		return
	}
	var body []byte
	if !u.plain {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return
		}
	}
	u.mu.Lock()
	u.got = append(u.got, came{r.Method, r.RequestURI, r.Header.Clone(), r.ContentLength, body})
	answer := u.answer
	u.mu.Unlock()
	if answer != nil {
		answer(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprint(w, `{"ok":true}`)
}

// will says how the service answers from now on.
func (u *upstream) will(answer http.HandlerFunc) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.answer = answer
}

// count is how many calls came.
func (u *upstream) count() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.got)
}

// last is the newest call.
func (u *upstream) last() came {
	u.t.Helper()
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.got) == 0 {
		u.t.Fatal("the service was not called")
	}
	return u.got[len(u.got)-1]
}

// claims are what the token of a call says.
func (c came) claims(t testing.TB) (out struct {
	Iss, Aud, Lxm, Jti string
	Iat, Exp           int64
}) {
	t.Helper()
	token := strings.TrimPrefix(c.header.Get("Authorization"), "Bearer ")
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("no token: %q", c.header.Get("Authorization"))
	}
	if err := json.Unmarshal(unbase64(t, parts[1]), &out); err != nil {
		t.Fatal(err)
	}
	return out
}
