package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/mail"
	"github.com/auroralocus/locus/internal/mail/mailtest"
	"github.com/auroralocus/locus/internal/mail/outbox"
)

func TestDeliver(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	o := h.outbox()
	for i := range 25 { // more than one claim
		h.put(o, h.a, fmt.Sprintf("u%d@example.com", i))
	}
	h.put(o, h.b, "b@example.com")
	if next := h.deliver(o, h.a); !next.IsZero() {
		t.Errorf("again at %s", next)
	}
	got := h.smtp.Got()
	ids := map[string]bool{}
	for _, m := range got {
		ids[m.MessageID] = true
		if !strings.HasSuffix(m.MessageID, "@a.example.com") || m.From != "noreply@a.example.com" || !strings.Contains(m.Body, "ABCDE-23456") {
			t.Errorf("%+v", m)
		}
	}
	if len(got) != 25 || len(ids) != 25 || h.states(h.a) != "sent 25" || h.states(h.b) != "waiting 1" {
		t.Errorf("%d messages, %d ids, %s, %s", len(got), len(ids), h.states(h.a), h.states(h.b))
	}
	if n := h.smtp.Sessions(); n > 3 {
		t.Errorf("%d sessions", n)
	}
	h.deliver(o, h.a)
	if len(h.smtp.Got()) != 25 {
		t.Error("sent twice")
	}
	// Nothing of the token stays, in the row or the log.
	if strings.Contains(h.log.String(), "ABCDE") {
		t.Error(h.log.String())
	}
}

// A message is there when its reason was committed, and only then.
func TestPutIsOfTheTransaction(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	o := h.outbox()
	stop := errors.New("stop")
	err := h.db.Tenant(h.a.Schema).Tx(t.Context(), func(q *tenantdb.Queries) error {
		if err := o.Put(t.Context(), q, h.a, 1, "x@example.com", mail.Note{Kind: mail.KindSignIn}, time.Minute); err != nil {
			return err
		}
		return stop
	})
	if !errors.Is(err, stop) || h.states(h.a) != "" {
		t.Errorf("%v %s", err, h.states(h.a))
	}
}

// What passes is tried again, later and later; what does not pass is given up; what comes too late too.
func TestRetries(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	o := h.outbox()
	h.smtp.Stop()
	h.put(o, h.a, "x@example.com")
	h.put(o, h.a, "y@example.com")
	next := h.deliver(o, h.a)
	if wait := next.Sub(h.clock.Now()); wait < 4*time.Second || wait > 8*time.Second || h.states(h.a) != "waiting 2" {
		t.Errorf("tries again in %s: %s", wait, h.states(h.a))
	}
	h.deliver(o, h.a) // not yet
	h.clock.add(10 * time.Second)
	next = h.deliver(o, h.a)
	if wait := next.Sub(h.clock.Now()); wait < 9*time.Second || wait > 14*time.Second {
		t.Errorf("then in %s", wait)
	}
	h.smtp.Restart()
	h.smtp.Hook(func(s mailtest.Step, what string) mailtest.Verdict {
		switch {
		case s == mailtest.Rcpt && what == "x@example.com":
			return mailtest.Verdict{Reply: "550 no such user"}
		case s == mailtest.Rcpt:
			return mailtest.Verdict{Reply: "451 greylisted"}
		}
		return mailtest.Verdict{}
	})
	h.clock.add(20 * time.Second)
	h.deliver(o, h.a)
	if h.states(h.a) != "waiting 1, given up 1" {
		t.Error(h.states(h.a))
	}
	h.smtp.Hook(nil)
	h.clock.add(time.Minute)
	h.deliver(o, h.a)
	if h.states(h.a) != "sent 1, given up 1" || len(h.smtp.Got()) != 1 {
		t.Error(h.states(h.a), h.smtp.Got())
	}
	h.put(o, h.a, "late@example.com")
	h.clock.add(15 * time.Minute)
	h.deliver(o, h.a)
	if h.states(h.a) != "sent 1, given up 2" || len(h.smtp.Got()) != 1 {
		t.Error(h.states(h.a))
	}
}

// A tenant's own server, its sender and the log instead of a server.
func TestServers(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	own := mailtest.Start(t)
	o := h.outbox()
	if err := h.tenants.SetSMTP(t.Context(), "a.example.com", own.URL()); err != nil {
		t.Fatal(err)
	}
	fresh, err := h.tenants.Set(t.Context(), "a.example.com", map[string]string{"mail_from": "hello@a.example.com"})
	if err != nil {
		t.Fatal(err)
	}
	h.put(o, fresh, "x@example.com")
	h.put(o, h.b, "y@example.com")
	h.deliver(o, fresh)
	h.deliver(o, h.b)
	if a, b := own.Got(), h.smtp.Got(); len(a) != 1 || a[0].To != "x@example.com" || a[0].From != "hello@a.example.com" || len(b) != 1 || b[0].To != "y@example.com" {
		t.Errorf("%v %v", a, b)
	}
	if err := h.tenants.SetSMTP(t.Context(), "a.example.com", ""); err != nil {
		t.Fatal(err)
	}
	if fresh, err = h.tenants.Get(t.Context(), "a.example.com"); err != nil {
		t.Fatal(err)
	}
	h.put(o, fresh, "z@example.com")
	h.deliver(o, fresh)
	if len(h.smtp.Got()) != 2 {
		t.Error("the deployment's server does not serve again")
	}
	// Development: the log.
	dev := h.with(outbox.Config{ShowText: true})
	h.put(dev, fresh, "dev@example.com")
	h.deliver(dev, fresh)
	if !strings.Contains(h.log.String(), "ABCDE-23456") || h.states(fresh) != "sent 3" {
		t.Errorf("%s %s", h.states(fresh), h.log.String())
	}
	// No server at all: it waits.
	none := h.with(outbox.Config{})
	h.put(none, fresh, "none@example.com")
	h.deliver(none, fresh)
	if h.states(fresh) != "waiting 1, sent 3" || !strings.Contains(h.log.String(), "no mail server is set") {
		t.Error(h.states(fresh))
	}
}

// Who announces mail waits for it, a little.
func TestAwait(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	o := h.outbox()
	post := func() (id string) {
		err := h.db.Tenant(h.a.Schema).Tx(t.Context(), func(q *tenantdb.Queries) (err error) {
			id, err = o.Post(t.Context(), q, h.a, 1, "x@example.com", mail.Note{Kind: mail.KindSignIn}, time.Minute)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	began := time.Now()
	o.Await(t.Context(), h.a, post(), time.Minute) // nothing runs here
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- o.Run(ctx) }()
	for len(h.smtp.Got()) == 0 {
		time.Sleep(5 * time.Millisecond)
	}
	o.Await(t.Context(), h.a, post(), time.Minute)
	if n := len(h.smtp.Got()); n != 2 || time.Since(began) > 110*time.Second { // two waits in vain take two minutes
		t.Errorf("%d messages after %s", n, time.Since(began))
	}
	h.smtp.Stop()
	o.Await(t.Context(), h.a, post(), time.Minute) // an attempt that fails is one too
	slow := make(chan struct{})
	h.smtp.Restart()
	h.smtp.Hook(func(mailtest.Step, string) mailtest.Verdict { <-slow; return mailtest.Verdict{} })
	mid := time.Now()
	o.Await(t.Context(), h.a, post(), 50*time.Millisecond)
	if d := time.Since(mid); d > 40*time.Second {
		t.Errorf("waited %s for a slow server", d)
	}
	close(slow)
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
