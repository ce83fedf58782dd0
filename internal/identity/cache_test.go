package identity

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/did-method-plc/go-didplc"

	"github.com/auroralocus/locus/internal/cache/cachetest"
)

// hostile serves documents of 64 KB that are made to take as much as can be.
type hostile struct{ Directory }

var hostileLists = map[string]string{
	"verificationMethod": `{}`, "service": `{}`, "alsoKnownAs": `"a"`, "@context": `"a"`, "unknown": `[[[]]]`,
}

func hostileDocument(did, list string) []byte {
	head := `{"id":"` + did + `","` + list + `":[`
	entry := hostileLists[list]
	n := (maxDocument - len(head) - 3) / (len(entry) + 1)
	return []byte(head + strings.Repeat(entry+",", n-1) + entry + "]}")
}

func (hostile) Resolve(_ context.Context, did string) (*Document, error) {
	lists := []string{"verificationMethod", "service", "alsoKnownAs", "@context", "unknown"}
	return ParseDocument(did, hostileDocument(did, lists[did[len(did)-1]%5]))
}

func (hostile) Last(context.Context, string) (didplc.Operation, error) { return nil, ErrDIDUnavailable }

func hostileDID(i int) string {
	const digits = "abcdefghijklmnopqrstuvwxyz234567"
	id := []byte(strings.Repeat("a", 24))
	for j := 23; i > 0; j-- {
		id[j] = digits[i%32]
		i /= 32
	}
	return "did:plc:" + string(id)
}

var hostileDocuments = flag.Int("hostile", 300, "how many documents TestHostileDocuments serves")

// TestHostileDocuments: however many and however large documents strangers have fetched, what stays is within the bound.
func TestHostileDocuments(t *testing.T) {
	const bound = 512 << 10
	count := *hostileDocuments
	before := cachetest.LiveHeap()
	r := NewResolver(ResolverConfig{PLC: hostile{}, Now: time.Now, CacheBytes: bound})
	defer r.Close()
	for i := range count {
		if _, err := r.Resolve(t.Context(), Asker{Scope: "t_1"}, hostileDID(i)); err != nil {
			t.Fatal(err)
		}
	}
	grown := cachetest.LiveHeap() - before
	t.Logf("%d documents of 64 KB: the heap grew by %d KiB, the cache says %d KiB", count, grown>>10, r.cache.docs.Bytes()>>10)
	if grown > bound+bound/2 {
		t.Errorf("the heap grew by %d KiB, bound %d KiB", grown>>10, bound>>10)
	}
	runtime.KeepAlive(r)
}

// TestLargeDocument: of a large document little is kept, and who shows it to others still gets all of it.
func TestLargeDocument(t *testing.T) {
	w := newWorld(t, nil)
	body := string(hostileDocument(exampleDID, "unknown"))
	w.set(func() { w.docs[exampleDID] = body })
	for i, want := range []bool{true, false} { // as fetched, and as kept
		if d, err := w.resolver.Resolve(t.Context(), Asker{}, exampleDID); err != nil || d.Whole() != want {
			t.Fatal(i, err)
		}
	}
	d, err := w.resolver.ResolveWhole(t.Context(), Asker{}, exampleDID)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := d.MarshalJSON(); err != nil || string(b) != body {
		t.Error("not as it came", err)
	}
	if n := w.asked.Load(); n != 2 {
		t.Errorf("asked %d times", n)
	}
	small := docOf(exampleDID, "a.test")
	w.set(func() { w.docs[exampleDID] = small })
	for range 2 {
		if d, err = w.resolver.Refresh(t.Context(), Asker{}, exampleDID); err != nil || !d.Whole() {
			t.Fatal(err)
		}
	}
	if _, err = w.resolver.ResolveWhole(t.Context(), Asker{}, exampleDID); err != nil || w.asked.Load() != 4 {
		t.Error(err, w.asked.Load())
	}
}

// TestLongListsAreCut: what comes after the first entries of a list is passed over.
func TestLongListsAreCut(t *testing.T) {
	for list := range hostileLists {
		d, err := ParseDocument(exampleDID, hostileDocument(exampleDID, list))
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range []int{len(d.Context), len(d.AlsoKnownAs), len(d.VerificationMethod), len(d.Service)} {
			if n > maxEntries {
				t.Errorf("%s: %d entries", list, n)
			}
		}
	}
}

// TestFailuresAreRemembered: strangers who name DIDs and handles that lead nowhere make nobody ask again and again.
func TestFailuresAreRemembered(t *testing.T) {
	w := newWorld(t, nil)
	resolve := func(did string, want error) {
		t.Helper()
		if _, err := w.resolver.Resolve(t.Context(), Asker{}, did); !errors.Is(err, want) {
			t.Fatal(err)
		}
	}
	const lasting = 2 // a directory that knows no DID is asked for its log, too
	for range 5 {
		resolve(exampleDID, ErrDIDNotFound)
	}
	if n := w.asked.Load(); n != lasting {
		t.Errorf("asked %d times", n)
	}
	w.set(func() { w.docs[exampleDID] = docOf(exampleDID, "a.test") })
	resolve(exampleDID, ErrDIDNotFound)
	if _, err := w.resolver.ResolveWithin(t.Context(), Asker{}, exampleDID, time.Minute); err != nil {
		t.Error(err) // who must know asks
	}
	resolve(exampleDID, nil)

	const other = "did:plc:bbbbbbbbbbbbbbbbbbbbbbbb"
	w.set(func() { w.status = http.StatusInternalServerError })
	before := w.asked.Load()
	for range 5 {
		resolve(other, ErrDIDUnavailable)
	}
	if n := w.asked.Load() - before; n != 1 {
		t.Errorf("asked %d times", n)
	}
	w.set(func() { w.status, w.docs[other], w.now = 0, docOf(other, "b.test"), w.now.Add(awayKept) })
	resolve(other, nil)
}

// TestHandlesAreRemembered for half a minute, and not for who asks afresh.
func TestHandlesAreRemembered(t *testing.T) {
	w := newWorld(t, nil)
	find := func(look func(context.Context, Asker, string) (string, error), want string) {
		t.Helper()
		if did, err := look(t.Context(), Asker{}, "a.test"); did != want || (want == "") != errors.Is(err, ErrHandleNotFound) {
			t.Fatal(did, err)
		}
	}
	const other = "did:plc:bbbbbbbbbbbbbbbbbbbbbbbb"
	name := "a.test/.well-known/atproto-did"
	find(w.resolver.ResolveHandle, "")
	w.set(func() { w.hosts[name] = exampleDID })
	find(w.resolver.ResolveHandle, "")
	find(w.resolver.RefreshHandle, exampleDID)
	find(w.resolver.ResolveHandle, exampleDID)
	w.set(func() { w.hosts[name] = other })
	find(w.resolver.ResolveHandle, exampleDID)
	w.set(func() { w.now = w.now.Add(handleKept) })
	find(w.resolver.ResolveHandle, other)
}

// TestAskersAreCharged for what is fetched, and for nothing that is known.
func TestAskersAreCharged(t *testing.T) {
	w := newWorld(t, nil)
	w.set(func() { w.docs[exampleDID] = docOf(exampleDID, "a.test") })
	charged, refuse := 0, error(nil)
	who := Asker{Charge: func() error { charged++; return refuse }}
	step := func(want int, wantErr error, err error) {
		t.Helper()
		if charged != want || !errors.Is(err, wantErr) {
			t.Fatalf("charged %d times, want %d: %v", charged, want, err)
		}
	}
	resolve := func(did string) error { _, err := w.resolver.Resolve(t.Context(), who, did); return err }
	step(1, nil, resolve(exampleDID))
	step(1, nil, resolve(exampleDID))
	step(2, ErrDIDNotFound, resolve("did:plc:bbbbbbbbbbbbbbbbbbbbbbbb"))
	step(2, ErrDIDNotFound, resolve("did:plc:bbbbbbbbbbbbbbbbbbbbbbbb"))
	_, err := w.resolver.Refresh(t.Context(), who, exampleDID)
	step(3, nil, err)
	_, err = w.resolver.ResolveHandle(t.Context(), who, "a.test")
	step(4, ErrHandleNotFound, err)
	_, err = w.resolver.ResolveHandle(t.Context(), who, "a.test")
	step(4, ErrHandleNotFound, err)
	refuse = fmt.Errorf("too often")
	asked := w.asked.Load()
	step(5, refuse, resolve("did:plc:cccccccccccccccccccccccc"))
	_, err = w.resolver.Refresh(t.Context(), who, exampleDID)
	step(6, refuse, err)
	_, err = w.resolver.ResolveHandle(t.Context(), who, "b.test")
	step(7, refuse, err)
	step(7, nil, resolve(exampleDID))
	if w.asked.Load() != asked {
		t.Error("asked all the same")
	}
}
