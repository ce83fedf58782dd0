package outbox_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/auroralocus/locus/internal/mail/mailtest"
	"github.com/auroralocus/locus/internal/tenant"
)

// As many tenants as may speak to the deployment's server at once have much to send. A tenant with one message waits
// for their sessions, not for all they have: counted in messages, not in time.
func TestMailTakesTurns(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.smtp.Hook(func(mailtest.Step, string) mailtest.Verdict {
		time.Sleep(time.Millisecond)
		return mailtest.Verdict{}
	})
	o := h.outbox()
	const busy, each, session = 8, 40, 10
	var all []*tenant.Tenant
	for i := range busy {
		tn, err := h.tenants.Create(t.Context(), tenant.Spec{Hostname: fmt.Sprintf("s%d.example.com", i)})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, tn)
		for range each {
			h.put(o, tn, "crowd@example.com")
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- o.Run(ctx) }()
	got := func() []string {
		var to []string
		for _, m := range h.smtp.Got() {
			to = append(to, m.To)
		}
		return to
	}
	until := func(what string, ok func() bool) {
		t.Helper()
		for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal(what, len(got()))
			}
		}
	}
	for _, tn := range all {
		o.Wake(tn)
	}
	until("the crowd's first", func() bool { return len(got()) >= busy })
	before := len(got())
	h.put(o, h.a, "one@example.com")
	o.Wake(h.a)
	until("the one", func() bool { return slices.Contains(got(), "one@example.com") })
	at := slices.Index(got(), "one@example.com") - before
	t.Logf("%d messages of the crowd's came first", at)
	if at > 2*busy*session {
		t.Errorf("%d messages of the crowd's came first", at)
	}
	until("the rest", func() bool { return len(got()) == busy*each+1 })
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
