package permissionset_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bluesky-social/indigo/atproto/atcrypto"
	"go.uber.org/goleak"

	"github.com/auroralocus/locus/internal/identity"
	"github.com/auroralocus/locus/internal/oauth/permissionset"
	"github.com/auroralocus/locus/internal/outbound"
	"github.com/auroralocus/locus/internal/outbound/dnstest"
	"github.com/auroralocus/locus/repo"
	"github.com/auroralocus/locus/repo/dagcbor"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	author = "did:plc:ewvi7nxzyoun6zhxrhs64oiz"
	nsid   = "com.example.calendar.auth"
	lexDoc = `{"$type":"com.atproto.lexicon.schema","lexicon":1,"id":"com.example.calendar.auth","defs":{"main":{"type":"permission-set","title":"Calendar","permissions":[{"type":"permission","resource":"repo","collection":["com.example.calendar.event"]}]}}}`
)

// world is an author's server, a PLC directory and a name server.
type world struct {
	mu     sync.Mutex
	now    time.Time
	txt    string
	status int    // of the author's server; 0: it answers
	proof  []byte // its answer
	asked  atomic.Int64
	local  func() ([]byte, bool, error)
	finder *permissionset.Finder
	key    *atcrypto.PrivateKeyK256
}

func (w *world) set(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), txt: "did=" + author}
	var err error
	if w.key, err = atcrypto.GeneratePrivateKeyK256(); err != nil {
		t.Fatal(err)
	}
	w.proof = w.proves(t, author, "com.atproto.lexicon.schema/"+nsid, lexDoc, signer{w.key})
	pds := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.asked.Add(1)
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.status != 0 {
			rw.WriteHeader(w.status)
			return
		}
		_, _ = rw.Write(w.proof)
	}))
	t.Cleanup(pds.Close)
	plc := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		pub, err := w.key.PublicKey()
		if err != nil {
			t.Error(err)
		}
		_ = json.NewEncoder(rw).Encode(map[string]any{
			"id":                 author,
			"verificationMethod": []any{map[string]any{"id": author + "#atproto", "type": "Multikey", "controller": author, "publicKeyMultibase": strings.TrimPrefix(pub.DIDKey(), "did:key:")}},
			"service":            []any{map[string]any{"id": "#atproto_pds", "type": "AtprotoPersonalDataServer", "serviceEndpoint": pds.URL}},
		})
	}))
	t.Cleanup(plc.Close)
	hc := outbound.New(outbound.Policy{AllowLoopback: true})
	t.Cleanup(hc.CloseIdleConnections)
	clock := func() time.Time {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.now
	}
	documents := identity.NewResolver(identity.ResolverConfig{
		PLC: identity.NewPLCClient(plc.URL, hc), HTTP: hc, Now: clock,
		DNS: dnstest.New(t, func(name string, _ uint16) [][]byte {
			w.mu.Lock()
			defer w.mu.Unlock()
			if name != "_lexicon.calendar.example.com" || w.txt == "" {
				return nil
			}
			return [][]byte{[]byte(w.txt)}
		}),
	})
	t.Cleanup(documents.Close)
	w.finder = permissionset.New(permissionset.Config{
		Documents: documents, HTTP: hc, Now: clock,
		Local: func(context.Context, *url.URL, string, string) ([]byte, bool, error) {
			if w.local == nil {
				return nil, false, nil
			}
			return w.local()
		},
	})
	return w
}

// proves is an archive that proves a record.
func (w *world) proves(t *testing.T, did, path, doc string, key repo.Signer) []byte {
	t.Helper()
	block, err := dagcbor.FromJSON([]byte(doc), dagcbor.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	c, err := repo.Apply(repo.Head{DID: did}, []repo.Write{{Action: repo.ActionCreate, Path: path, Record: block}}, nil, repo.NewTID(time.Now(), 1), key)
	if err != nil {
		t.Fatal(err)
	}
	return c.AppendCAR(nil)
}

type signer struct{ key *atcrypto.PrivateKeyK256 }

func (s signer) Sign(msg []byte) ([]byte, error) { return s.key.HashAndSign(msg) }

func (w *world) found(t *testing.T) bool {
	t.Helper()
	set, err := w.finder.Find(t.Context(), identity.Asker{Scope: "t_1"}, nsid)
	if err != nil && !errors.Is(err, permissionset.ErrNotFound) {
		t.Fatal(err)
	}
	return err == nil && set.NSID == nsid && set.Title[""] == "Calendar" && len(set.Entries) == 1
}

func TestFind(t *testing.T) {
	w := newWorld(t)
	for range 3 {
		if !w.found(t) {
			t.Fatal("not found")
		}
	}
	if n := w.asked.Load(); n != 1 {
		t.Errorf("asked %d times", n)
	}
	// The author's server is away: what was found is good for ninety days, and then no more.
	w.set(func() { w.status = http.StatusServiceUnavailable })
	for _, age := range []time.Duration{2 * time.Hour, 30 * 24 * time.Hour, 89 * 24 * time.Hour} {
		w.set(func() { w.now = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(age) })
		if !w.found(t) {
			t.Errorf("after %s it is not usable any more", age)
		}
	}
	w.set(func() { w.now = w.now.Add(2 * 24 * time.Hour) })
	if w.found(t) {
		t.Error("usable for good")
	}
	// It is back: a failure is not remembered for long.
	w.set(func() { w.status, w.now = 0, w.now.Add(time.Minute) })
	if !w.found(t) {
		t.Error("the failure stays")
	}
}

// TestNotBelieved: a set that its author did not sign, or that is another's, is none.
func TestNotBelieved(t *testing.T) {
	other, err := atcrypto.GeneratePrivateKeyK256()
	if err != nil {
		t.Fatal(err)
	}
	path := "com.atproto.lexicon.schema/" + nsid
	for name, change := range map[string]func(w *world, t *testing.T){
		"another key": func(w *world, t *testing.T) { w.proof = w.proves(t, author, path, lexDoc, signer{other}) },
		"another repository": func(w *world, t *testing.T) {
			w.proof = w.proves(t, "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa", path, lexDoc, signer{w.key})
		},
		"another record": func(w *world, t *testing.T) { w.proof = w.proves(t, author, path+"x", lexDoc, signer{w.key}) },
		"another id": func(w *world, t *testing.T) {
			w.proof = w.proves(t, author, path, strings.ReplaceAll(lexDoc, "calendar.auth", "calendar.other"), signer{w.key})
		},
		"no set": func(w *world, t *testing.T) {
			w.proof = w.proves(t, author, path, `{"lexicon":1,"id":"com.example.calendar.auth","defs":{}}`, signer{w.key})
		},
		"bent":             func(w *world, t *testing.T) { w.proof[len(w.proof)-1] ^= 1 },
		"cut":              func(w *world, t *testing.T) { w.proof = w.proof[:len(w.proof)-10] },
		"empty":            func(w *world, t *testing.T) { w.proof = nil },
		"too large":        func(w *world, t *testing.T) { w.proof = make([]byte, 2<<20) },
		"no such record":   func(w *world, t *testing.T) { w.status = http.StatusBadRequest },
		"no DNS":           func(w *world, t *testing.T) { w.txt = "" },
		"DNS names no DID": func(w *world, t *testing.T) { w.txt = "did=nonsense" },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			change(w, t)
			if w.found(t) {
				t.Error("believed")
			}
			asked := w.asked.Load()
			if w.found(t) || w.asked.Load() != asked {
				t.Error("asked again at once")
			}
		})
	}
}

// TestHostedHere: sets of this deployment's own accounts are read without the network.
func TestHostedHere(t *testing.T) {
	w := newWorld(t)
	block, err := dagcbor.FromJSON([]byte(lexDoc), dagcbor.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	w.local = func() ([]byte, bool, error) { return block, true, nil }
	if !w.found(t) || w.asked.Load() != 0 {
		t.Error("the network was asked")
	}
}
