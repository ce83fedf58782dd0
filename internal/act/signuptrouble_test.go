package act_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/identity"
)

// A directory that fails over an operation once or twice does not have a sign-up fail, whether it took the operation or not;
// one that goes on failing, or that refuses, does, and nothing is left of the sign-up.
func TestSignUpInTrouble(t *testing.T) {
	t.Parallel()
	m := newMortal(t)
	d := newMoody(m)
	l := m.process()
	l.parts.Passwords = m.parts.Passwords
	l.through(d, m)
	var mu sync.Mutex
	posts := 0
	// takes has the directory do what it is asked, and lose the answer.
	takes := func(r *http.Request) {
		d.be(nil)
		d.Config.Handler.ServeHTTP(httptest.NewRecorder(), r)
	}
	password := "a-good-password"
	open := func(name string, mood func(w http.ResponseWriter, r *http.Request, post int) bool) (did string, asked int, err error) {
		t.Helper()
		mu.Lock()
		posts = 0
		mu.Unlock()
		var moods func(w http.ResponseWriter, r *http.Request, n int) bool
		moods = func(w http.ResponseWriter, r *http.Request, _ int) bool {
			mu.Lock()
			defer mu.Unlock()
			if r.Method == http.MethodPost {
				posts++
			}
			answered := mood(w, r, posts)
			d.be(moods)
			return answered
		}
		d.be(moods)
		did, _, err = l.CreateAccount(t.Context(), m.tenant, act.Operator{}, account.Request{Handle: name + ".test", Email: name + "@example.com", Password: &password})
		d.be(nil)
		mu.Lock()
		defer mu.Unlock()
		return did, posts, err
	}
	well := func(name string, wants int, mood func(w http.ResponseWriter, r *http.Request, post int) bool) {
		t.Helper()
		did, asked, err := open(name, mood)
		if err != nil || asked != wants {
			t.Errorf("%s: %d times: %v", name, asked, err)
			return
		}
		if doc, err := l.parts.Directory.Resolve(t.Context(), did); err != nil || doc.Handle() != name+".test" {
			t.Errorf("%s: %+v, %v", name, doc, err)
		}
	}
	well("well", 1, func(http.ResponseWriter, *http.Request, int) bool { return false })
	well("once", 2, func(w http.ResponseWriter, r *http.Request, post int) bool {
		return r.Method == http.MethodPost && post == 1 && refuse(w, 500, "", "Internal Server Error")
	})
	well("twice", 3, func(w http.ResponseWriter, r *http.Request, post int) bool {
		return r.Method == http.MethodPost && post <= 2 && refuse(w, 503, "", "later")
	})
	well("taken", 2, func(w http.ResponseWriter, r *http.Request, post int) bool {
		if r.Method != http.MethodPost || post > 1 {
			return false
		}
		takes(r)
		return refuse(w, 500, "", "Internal Server Error")
	})
	well("taken-silent", 3, func(w http.ResponseWriter, r *http.Request, post int) bool {
		if r.Method != http.MethodPost {
			return false
		}
		if post == 1 {
			takes(r)
		}
		return refuse(w, 500, "", "Internal Server Error")
	})

	fails := func(name string, wants int, as error, mood func(w http.ResponseWriter, r *http.Request, post int) bool) {
		t.Helper()
		if _, asked, err := open(name, mood); !errors.Is(err, as) || asked != wants {
			t.Errorf("%s: %d times: %v", name, asked, err)
		}
		well(name, 1, func(http.ResponseWriter, *http.Request, int) bool { return false }) // the name and the address are free again
	}
	const end = 1 // the DID that the directory may have got is ended
	fails("down", 3+end, identity.ErrDIDUnavailable, func(w http.ResponseWriter, _ *http.Request, _ int) bool { return refuse(w, 500, "", "") })
	fails("refused", 1+end, identity.ErrOperation, func(w http.ResponseWriter, _ *http.Request, _ int) bool { return refuse(w, 400, "", "no") })
	// It may have happened, and nobody can say: that is no conflict.
	fails("unclear", 2+end, identity.ErrDIDUnavailable, func(w http.ResponseWriter, r *http.Request, post int) bool {
		switch {
		case r.Method != http.MethodPost || post > 2:
			return refuse(w, 500, "", "")
		case post == 1:
			takes(r)
			return refuse(w, 500, "", "")
		}
		return false
	})
}
