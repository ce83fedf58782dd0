package handlers

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/identity"
	"github.com/auroralocus/locus/internal/tenant"
)

const resolveHandle = "com.atproto.identity.resolveHandle"

// A domain does not change hands while accounts have handles under it, by whatever way, so no handle means two accounts.
func TestHandleDomainChangesHands(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.set(hostA, "handle_domains", "a.test,extra.test")
	give := func(host, domains string) error {
		_, err := h.tenants.Set(t.Context(), host, map[string]string{"handle_domains": domains})
		return err
	}
	refused := func(err error, part string) {
		t.Helper()
		if !errors.Is(err, tenant.ErrHandlesExist) || !strings.Contains(err.Error(), part) {
			t.Errorf("%v, want %q", err, part)
		}
	}
	signUp := func(host, handle string) reply {
		return h.post(host, createAccount, "", obj{"handle": handle, "email": h.email("u"), "password": userPassword})
	}
	did := signUp(hostA, "alice.extra.test").ok().str("did")
	bob := signUp(hostA, "bobby.extra.test").ok().str("did")
	alice := h.createAccount(hostA, "alice")
	refused(give(hostA, "a.test"), "2 of a.test, under extra.test")
	if r := h.get(hostA, resolveHandle, "", "handle", "alice.extra.test").ok(); r.str("did") != did {
		t.Errorf("%s", r.body)
	}
	signUp(hostA, "carol.extra.test").ok() // as before
	h.admin(hostA, "deleteAccount", obj{"did": did}).ok()
	h.admin(hostA, "updateAccountHandle", obj{"did": bob, "handle": "bobby.a.test"}).ok()
	refused(give(hostA, "a.test"), "1 of a.test")
	h.exec(h.a, "UPDATE pds.actor SET handle = 'carol.a.test' WHERE handle = 'carol.extra.test'")
	if err := give(hostA, "a.test"); err != nil {
		t.Fatal(err)
	}
	// A process that has not heard of it yet gives nobody a handle there.
	stale := *h.a
	stale.HandleDomains = []string{"a.test", "extra.test"}
	if _, err := h.acts.SignUp(t.Context(), &stale, act.Visitor{Language: "en"}, request("dave.extra.test", h.email("d"))); !errors.Is(err, account.ErrHandleDomain) {
		t.Errorf("a stale process: %v", err)
	}
	err := h.db.Tenant(h.a.Schema).Tx(t.Context(), func(q *tenantdb.Queries) error {
		_, err := account.SetHandle(t.Context(), q, h.clock.Now(), h.aid(h.a, alice.did), "alice.extra.test", nil)
		return err
	})
	if !errors.Is(err, account.ErrHandleDomain) {
		t.Errorf("a stale process: %v", err)
	}
	// The other tenant has it now, and gives it back.
	if err := give(hostB, "b.test,extra.test"); err != nil {
		t.Fatal(err)
	}
	there := signUp(hostB, "alice.extra.test").ok().str("did")
	if r := h.raw("GET", "alice.extra.test", "/.well-known/atproto-did", nil); string(r.body) != there {
		t.Errorf("%s", r.body)
	}
	refused(give(hostB, "b.test"), "1 of b.test")
	h.admin(hostB, "deleteAccount", obj{"did": there}).ok()
	if err := give(hostB, "b.test"); err != nil {
		t.Fatal(err)
	}
	if err := give(hostA, "a.test,extra.test"); err != nil {
		t.Fatal(err)
	}
	signUp(hostA, "alice.extra.test").ok()

	// Names within each other: a handle there leads elsewhere once another tenant has the name.
	for _, name := range []string{"alice.a.test", "a.test"} {
		if err := give(hostB, "b.test,"+name); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	refused(give(hostB, "b.test,alice.a.test"), "1 of a.test")
	if _, err := h.tenants.Create(t.Context(), tenant.Spec{Hostname: "alice.a.test"}); !errors.Is(err, tenant.ErrHandlesExist) {
		t.Error(err)
	}
	// A name that is another tenant's is taken, whoever has handles under it: other handles would not make it free.
	for _, spec := range []tenant.Spec{{Hostname: hostA}, {Hostname: "c.test", HandleDomains: []string{"a.test"}}} {
		if _, err := h.tenants.Create(t.Context(), spec); !errors.Is(err, tenant.ErrHostnameTaken) || errors.Is(err, tenant.ErrHandlesExist) {
			t.Errorf("%s: %v", spec.Hostname, err)
		}
	}
	if err := give(hostB, "b.test,sub.a.test"); err != nil { // nobody is called that
		t.Fatal(err)
	}
	signUp(hostB, "eve.sub.a.test").ok()
	if _, err := h.acts.SignUp(t.Context(), h.a, act.Visitor{Language: "en"}, request("sub.a.test", h.email("d"))); !errors.Is(err, identity.ErrHandleReserved) {
		t.Errorf("a handle that is another's domain: %v", err)
	}
	h.admin(hostB, "updateAccountHandle", obj{"did": h.get(hostB, resolveHandle, "", "handle", "eve.sub.a.test").ok().str("did"), "handle": "eve.b.test"}).ok()
	if err := give(hostB, "b.test"); err != nil {
		t.Fatal(err)
	}
	signUp(hostA, "sub.a.test").ok() // free again

	// What an account was called before there was this rule: who has the name answers.
	h.exec(h.b, "UPDATE pds.actor SET handle = 'zoe.a.test' WHERE handle = 'eve.b.test'")
	h.get(hostB, resolveHandle, "", "handle", "zoe.a.test").fails(400, "InvalidRequest", "")
}

// A handle outside a tenant's own domains keeps others from taking the name above it: when it was noted as it was set, and
// when it came there by another way and is read once.
func TestHandleElsewhereKeepsName(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.createAccount(hostA, "alice")
	h.createAccount(hostB, "bobby")
	take := func(name string) error {
		_, err := h.tenants.Create(t.Context(), tenant.Spec{Hostname: name})
		return err
	}
	if err := take("first.test"); err != nil { // and every tenant is read
		t.Fatal(err)
	}
	unlisted := "SELECT count(*) FROM control.tenant t WHERE NOT EXISTS (SELECT FROM control.handles_listed l WHERE l.tenant_id = t.tenant_id)"
	if n := query64(t, h.url, unlisted)[0]; n != 0 {
		t.Errorf("%d tenants were not read", n)
	}
	if _, err := h.tenants.NoteHandle(t.Context(), h.a, "alice.second.test"); err != nil {
		t.Fatal(err)
	}
	if err := take("second.test"); err != nil { // it was noted, and never set
		t.Error(err)
	}
	if _, err := h.tenants.NoteHandle(t.Context(), h.a, "alice.third.test"); err != nil {
		t.Fatal(err)
	}
	h.exec(h.a, "UPDATE pds.actor SET handle = 'alice.third.test' WHERE handle = 'alice.a.test'")
	for _, name := range []string{"third.test", "alice.third.test"} {
		if _, err := h.tenants.Set(t.Context(), hostB, map[string]string{"handle_domains": "b.test," + name}); !errors.Is(err, tenant.ErrHandlesExist) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := take("lice.third.test"); err != nil { // another name
		t.Error(err)
	}
	// A tenant of an archive, or of an older program.
	h.exec(h.b, "UPDATE pds.actor SET handle = 'bobby.fourth.test' WHERE handle = 'bobby.b.test'")
	if err := h.tenants.ForgetHandles(t.Context(), h.b); err != nil {
		t.Fatal(err)
	}
	if err := take("fourth.test"); !errors.Is(err, tenant.ErrHandlesExist) || !strings.Contains(err.Error(), "1 of b.test") {
		t.Error(err)
	}
	if n := query64(t, h.url, unlisted)[0]; n != 0 {
		t.Errorf("%d tenants were not read", n)
	}
	// Who leaves takes the names along.
	h.exec(h.b, "UPDATE pds.actor SET handle = NULL WHERE handle = 'bobby.fourth.test'")
	if err := take("fourth.test"); err != nil {
		t.Error(err)
	}
}

func request(handle, email string) account.Request {
	password := userPassword
	return account.Request{Handle: handle, Email: email, Password: &password}
}

// Sign-ups of a process that knows the domain still, changes of handles and the giving away, all at once: either the domain
// stays, or nobody has a handle there.
func TestHandleDomainRace(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice := h.createAccount(hostA, "alice")
	aid := h.aid(h.a, alice.did)
	for round := range 6 {
		domain := fmt.Sprintf("race%d.test", round)
		h.set(hostA, "handle_domains", "a.test,"+domain)
		stale := *h.a
		stale.HandleDomains = []string{"a.test", domain}
		var wg sync.WaitGroup
		var given error
		made := make([]error, 4)
		for i := range made {
			wg.Go(func() {
				if i == 0 {
					made[i] = h.db.Tenant(h.a.Schema).Tx(t.Context(), func(q *tenantdb.Queries) error {
						_, err := account.SetHandle(t.Context(), q, h.clock.Now(), aid, "alice."+domain, nil)
						return err
					})
					return
				}
				_, made[i] = h.acts.SignUp(t.Context(), &stale, act.Visitor{Language: "en"}, request(fmt.Sprintf("user%d.%s", i, domain), h.email("u")))
			})
		}
		wg.Go(func() {
			time.Sleep(time.Duration(round) * 4 * time.Millisecond)
			_, given = h.tenants.Set(context.WithoutCancel(t.Context()), hostA, map[string]string{"handle_domains": "a.test"})
		})
		wg.Wait()
		n := query64(t, h.url, "SELECT count(*) FROM "+h.a.Schema.String()+".actor WHERE handle LIKE '%."+domain+"'")[0]
		switch {
		case given == nil && n > 0:
			t.Fatalf("round %d: the domain is given away and %d accounts have handles there", round, n)
		case given != nil && !errors.Is(given, tenant.ErrHandlesExist):
			t.Fatal(given)
		}
		h.exec(h.a, "UPDATE pds.actor SET handle = NULL WHERE handle LIKE '%.' || $1", domain)
		for _, err := range made {
			if err != nil && !errors.Is(err, account.ErrHandleDomain) {
				t.Errorf("round %d: %v, given away: %v", round, err, given)
			}
		}
	}
}
