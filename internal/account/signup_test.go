package account_test

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/identity"
)

func TestSignup(t *testing.T) {
	h := newHouse(t, map[string]string{"signup": "open"})
	req := h.request("Alice")
	s, err := h.signUp(t.Context(), req, fault{})
	if err != nil {
		t.Fatal(err)
	}
	h.check(t, 1)
	a, err := account.ByDID(t.Context(), h.tdb.Q(), s.DID)
	if err != nil || a.Handle != "alice.test" || a.AID != s.AID || a.Email != strings.ToLower(req.Email) || !a.Active() || a.EmailConfirmed {
		t.Errorf("%+v, %v", a, err)
	}
	doc, err := h.directory.Resolve(t.Context(), s.DID)
	if err != nil {
		t.Fatal(err)
	}
	key, err := doc.SigningKey()
	if err != nil || key != s.Key.PublicDIDKey() || doc.PDS() != "http://localhost:2583" || doc.Handle() != "alice.test" {
		t.Errorf("%+v, %v", doc, err)
	}
	row, err := h.tdb.Q().GetSigningKey(t.Context(), s.AID)
	if err != nil {
		t.Fatal(err)
	}
	if opened, err := h.keys.Signer(h.tenant.Schema.String(), s.AID, row.Sealed); err != nil || opened.PublicDIDKey() != key {
		t.Errorf("the stored key: %v", err)
	}
	for _, id := range []string{"alice.test", " ALICE.test ", s.DID, strings.ToUpper(req.Email)} {
		if a, err := account.ByIdentifier(t.Context(), h.tdb.Q(), id); err != nil || a.AID != s.AID {
			t.Errorf("%q: %v", id, err)
		}
	}
	for _, id := range []string{"", "bob.test", "did:plc:x", "x@y.z", "\x00", "\xff", strings.Repeat("a", 5000)} {
		if _, err := account.ByIdentifier(t.Context(), h.tdb.Q(), id); !errors.Is(err, account.ErrNotFound) {
			t.Errorf("%q: %v", id, err)
		}
	}
}

func TestSignupRules(t *testing.T) {
	h := newHouse(t, map[string]string{"signup": "open"})
	if _, err := h.signUp(t.Context(), account.Request{Handle: "taken.test", Email: "taken@example.com"}, fault{}); err != nil {
		t.Fatal(err)
	}
	long, empty := strings.Repeat("ä", 257), ""
	for _, c := range []struct {
		req  account.Request
		want error
		text string
	}{
		{account.Request{Handle: "taken.test", Email: "new@example.com"}, account.ErrHandleTaken, "handle already taken: taken.test"},
		{account.Request{Handle: "TAKEN.test", Email: "new@example.com"}, account.ErrHandleTaken, "taken.test"},
		{account.Request{Handle: "fresh.test", Email: "Taken@Example.com"}, account.ErrEmailTaken, "email already taken: taken@example.com"},
		{account.Request{Handle: "fresh.test"}, account.ErrEmailRequired, ""},
		{account.Request{Handle: "fresh.test", Email: "nothing"}, account.ErrEmailUnsupported, ""},
		{account.Request{Handle: "fresh.example.com", Email: "new@example.com"}, account.ErrHandleDomain, ""},
		{account.Request{Handle: "x!.test", Email: "new@example.com"}, identity.ErrHandleSyntax, ""},
		{account.Request{Handle: "fresh.test", Email: "new@example.com", Password: &long}, account.ErrPasswordLength, ""},
		{account.Request{Handle: "fresh.test", Email: "new@example.com", Password: &empty}, account.ErrPasswordLength, ""},
		{account.Request{Handle: "fresh.test", Email: "new@example.com", RecoveryKey: "did:key:z"}, account.ErrRecoveryKey, ""},
	} {
		_, err := h.signUp(t.Context(), c.req, fault{})
		if !errors.Is(err, c.want) || !strings.Contains(fmt.Sprint(err), c.text) {
			t.Errorf("%+v: %v", c.req, err)
		}
	}
	h.check(t, 1)
	closed := *h.tenant
	closed.Settings.Signup = "closed"
	if _, err := account.NewSignup(&closed, h.request("bob"), h.clock.Now()); !errors.Is(err, account.ErrSignupClosed) {
		t.Error(err)
	}
}

// Each step fails, or happens and nobody learns of it: afterwards there is an account or there is nothing.
func TestSignupFaults(t *testing.T) {
	h := newHouse(t, map[string]string{"signup": "invite"})
	accounts := 0
	for _, step := range []string{stepBegin, stepSubmit, stepFinish} {
		for _, happened := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/%v", step, happened), func(t *testing.T) {
				code := h.invite(t, 1)
				req := h.request("faulty")
				req.InviteCode = code
				_, err := h.signUp(t.Context(), req, fault{step: step, happened: happened})
				// Only the last step, once it happened, makes an account.
				if step == stepFinish && happened {
					if err != nil {
						t.Fatalf("an account that is there was reported as a failure: %v", err)
					}
					accounts++
					h.check(t, accounts)
					return
				}
				if !errors.Is(err, errFault) {
					t.Fatal(err)
				}
				h.check(t, accounts)
				// The same person, the same code, the same names, at once.
				if _, err := h.signUp(t.Context(), req, fault{}); err != nil {
					t.Fatalf("nothing is left in the way: %v", err)
				}
				accounts++
				h.check(t, accounts)
				h.rename(t, req.Handle, fmt.Sprintf("old%d.test", accounts))
			})
		}
	}
}

// The process dies between steps: what is left is unseen, in nobody's way after five minutes, and swept.
func TestSignupCrashes(t *testing.T) {
	for _, f := range []fault{{step: stepBegin, happened: true}, {step: stepSubmit}, {step: stepSubmit, happened: true}, {step: stepFinish}} {
		f.crash = true
		t.Run(fmt.Sprintf("%s/%v", f.step, f.happened), func(t *testing.T) {
			h := newHouse(t, map[string]string{"signup": "invite"})
			req := h.request("crash")
			req.InviteCode = h.invite(t, 1)
			s, err := h.signUp(t.Context(), req, f)
			if !errors.Is(err, errCrash) {
				t.Fatal(err)
			}
			for _, id := range []string{s.DID, req.Handle, req.Email} {
				if _, err := account.ByIdentifier(t.Context(), h.tdb.Q(), id); !errors.Is(err, account.ErrNotFound) {
					t.Errorf("%s is seen: %v", id, err)
				}
			}
			sweeper := account.NewSweeper(h.db, h.tenants, h.hub, h.directory, h.documents, h.clock.Now, slog.New(slog.DiscardHandler))
			h.clock.add(account.StaleAfter - time.Second)
			if err := sweeper.Sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
			other := h.request("other")
			other.Handle, other.InviteCode = req.Handle, h.invite(t, 1)
			if _, err := h.signUp(t.Context(), other, fault{}); !errors.Is(err, account.ErrHandleTaken) {
				t.Errorf("a sign-up that may be under way was taken over: %v", err)
			}
			h.clock.add(2 * time.Second)
			if _, err := h.signUp(t.Context(), other, fault{}); err != nil {
				t.Errorf("a stale sign-up is in the way: %v", err)
			}
			// The first one wakes up after all.
			err = h.tdb.Tx(t.Context(), func(q *tenantdb.Queries) error { return s.Finish(t.Context(), q) })
			if !errors.Is(err, account.ErrSignupLost) {
				t.Errorf("a sign-up that was taken over finished: %v", err)
			}
			if finished := h.undo(t, s); finished {
				t.Error("undo says that a lost sign-up has finished")
			}
			// What it was is the sweep's, the DID included, also if the process that took over died.
			if err := sweeper.Sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
			h.check(t, 1)
		})
	}
}

func TestSweep(t *testing.T) {
	h := newHouse(t, map[string]string{"signup": "invite"})
	code := h.invite(t, 10)
	faults := []fault{{step: stepBegin, happened: true}, {step: stepSubmit, happened: true}, {step: stepFinish}}
	for i, f := range faults {
		f.crash = true
		req := h.request(fmt.Sprintf("crash%d", i))
		req.InviteCode = code
		if _, err := h.signUp(t.Context(), req, f); !errors.Is(err, errCrash) {
			t.Fatal(err)
		}
	}
	req := h.request("good")
	req.InviteCode = code
	if _, err := h.signUp(t.Context(), req, fault{}); err != nil {
		t.Fatal(err)
	}
	h.clock.add(account.StaleAfter + time.Second)
	var wg sync.WaitGroup
	for range 3 { // three processes at once
		wg.Go(func() {
			sweeper := account.NewSweeper(h.db, h.tenants, h.hub, h.directory, h.documents, h.clock.Now, slog.New(slog.DiscardHandler))
			if err := sweeper.Sweep(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	h.check(t, 1)
}

func TestSignupRaces(t *testing.T) {
	const n = 12
	for _, c := range []struct {
		name    string
		uses    int
		want    int
		request func(i int) account.Request
		refused []error
	}{
		{"one handle", n, 1, func(i int) account.Request {
			return account.Request{Handle: "wanted.test", Email: fmt.Sprintf("r%d@example.com", i)}
		}, []error{account.ErrHandleTaken}},
		{"one address", n, 1, func(i int) account.Request {
			return account.Request{Handle: fmt.Sprintf("r%02d.test", i), Email: "wanted@example.com"}
		}, []error{account.ErrEmailTaken}},
		{"one code", 1, 1, func(i int) account.Request {
			return account.Request{Handle: fmt.Sprintf("r%02d.test", i), Email: fmt.Sprintf("r%d@example.com", i)}
		}, []error{account.ErrInviteUnavailable}},
		{"a code with three uses", 3, 3, func(i int) account.Request {
			return account.Request{Handle: fmt.Sprintf("r%02d.test", i), Email: fmt.Sprintf("r%d@example.com", i)}
		}, []error{account.ErrInviteUnavailable}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHouse(t, map[string]string{"signup": "invite"})
			code := h.invite(t, c.uses)
			errs := make([]error, n)
			var wg sync.WaitGroup
			for i := range n {
				wg.Go(func() {
					req := c.request(i)
					req.InviteCode = code
					_, errs[i] = h.signUp(t.Context(), req, fault{})
				})
			}
			wg.Wait()
			won := 0
			for _, err := range errs {
				switch {
				case err == nil:
					won++
				case !errors.Is(err, c.refused[0]):
					t.Error(err)
				}
			}
			if won != c.want {
				t.Errorf("%d won, want %d", won, c.want)
			}
			h.check(t, c.want)
		})
	}
}

func TestInvites(t *testing.T) {
	h := newHouse(t, nil)
	req := h.request("alice")
	if _, err := h.signUp(t.Context(), req, fault{}); !errors.Is(err, account.ErrInviteRequired) {
		t.Error(err)
	}
	for _, code := range []string{"localhost-aaaaa-aaaaa", "\x00", "\xff"} {
		req.InviteCode = code
		if _, err := h.signUp(t.Context(), req, fault{}); !errors.Is(err, account.ErrInviteUnavailable) {
			t.Errorf("%q: %v", code, err)
		}
	}
	req.InviteCode = h.invite(t, 1)
	s, err := h.signUp(t.Context(), req, fault{})
	if err != nil {
		t.Fatal(err)
	}
	again := h.request("bob")
	again.InviteCode = req.InviteCode
	if _, err := h.signUp(t.Context(), again, fault{}); !errors.Is(err, account.ErrInviteUnavailable) {
		t.Errorf("used up: %v", err)
	}
	// A code made for an account dies with its takedown.
	code := account.NewInviteCode(h.tenant.Hostname)
	if err := account.InsertInvite(t.Context(), h.tdb.Q(), h.clock.Now(), code, 5, s.DID, account.InviteAdmin); err != nil {
		t.Fatal(err)
	}
	h.exec(t, "UPDATE S.actor SET takedown_ref = 'x' WHERE aid = $1", s.AID)
	again.InviteCode = code
	if _, err := h.signUp(t.Context(), again, fault{}); !errors.Is(err, account.ErrInviteUnavailable) {
		t.Errorf("of an account that was taken down: %v", err)
	}
	h.exec(t, "UPDATE S.actor SET takedown_ref = NULL")
	h.exec(t, "UPDATE S.tenant_item SET flags = 1 WHERE kind = 3")
	if _, err := h.signUp(t.Context(), again, fault{}); !errors.Is(err, account.ErrInviteUnavailable) {
		t.Errorf("disabled: %v", err)
	}
	h.exec(t, "UPDATE S.tenant_item SET flags = 0 WHERE kind = 3")
	if _, err := h.signUp(t.Context(), again, fault{}); err != nil {
		t.Error(err)
	}
	for _, uses := range []int{0, -1, 1 << 40} {
		if err := account.InsertInvite(t.Context(), h.tdb.Q(), h.clock.Now(), "x", uses, "admin", "admin"); !errors.Is(err, account.ErrInviteUses) {
			t.Errorf("%d uses: %v", uses, err)
		}
	}
	h.check(t, 2)
}

func (h *house) invite(t testing.TB, uses int) string {
	t.Helper()
	code := account.NewInviteCode(h.tenant.Hostname)
	err := account.InsertInvite(t.Context(), h.tdb.Q(), h.clock.Now(), code, uses, account.InviteAdmin, account.InviteAdmin)
	if err != nil {
		t.Fatal(err)
	}
	return code
}

func (h *house) exec(t testing.TB, sql string, args ...any) {
	t.Helper()
	if _, err := h.raw.Exec(t.Context(), strings.ReplaceAll(sql, "S.", h.tenant.Schema.String()+"."), args...); err != nil {
		t.Fatal(err)
	}
}

func (h *house) rename(t testing.TB, from, to string) {
	t.Helper()
	h.exec(t, "UPDATE S.actor SET handle = $2 WHERE handle = $1", from, to)
}

func (h *house) undo(t testing.TB, s *account.Signup) (finished bool) {
	t.Helper()
	err := h.tdb.Tx(t.Context(), func(q *tenantdb.Queries) (err error) {
		finished, err = s.Undo(t.Context(), q)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return finished
}
