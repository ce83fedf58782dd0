package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/internal/freeport"
	"github.com/auroralocus/locus/internal/mail"
	"github.com/auroralocus/locus/internal/mail/mailtest"
	"github.com/auroralocus/locus/internal/mail/outbox"
	"github.com/auroralocus/locus/internal/tenant"
)

// A mail run during which the sending process is killed with SIGKILL and the mail server restarts: another process ends
// it. Nothing is lost, and only what was between the final dot and its answer may come twice, under one Message-ID.
func TestMailRun(t *testing.T) {
	t.Parallel()
	key := filepath.Join(t.TempDir(), "master.key")
	h := furnish(t, dbtest.URL(t), openKeys(t, key))
	const messages = 80
	o := h.outbox()
	for i := range messages {
		h.put(o, h.a, fmt.Sprintf("u%d@example.com", i))
	}
	h.smtp.Hook(func(mailtest.Step, string) mailtest.Verdict {
		time.Sleep(2 * time.Millisecond) // so that the run has a middle
		return mailtest.Verdict{}
	})
	node := func() *exec.Cmd {
		cmd := exec.Command(os.Args[0], "-test.run=^TestKilledProcess$")
		cmd.Env = append(os.Environ(), "OUTBOX_TEST_URL="+h.url, "OUTBOX_TEST_SMTP="+h.smtp.URL(), "OUTBOX_TEST_KEY="+key, fmt.Sprint("OUTBOX_TEST_AHEAD=", h.clock.ahead.Load()))
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		})
		return cmd
	}
	until := func(what string, ok func() bool) {
		t.Helper()
		for end := time.Now().Add(40 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s: %d messages, %s", what, len(h.smtp.Got()), h.states(h.a))
			}
		}
	}
	kills := 0
	for _, at := range []int{15, 40} {
		first := node()
		until(fmt.Sprint("first ", at), func() bool { return len(h.smtp.Got()) >= at })
		_ = first.Process.Kill() // SIGKILL
		_ = first.Wait()
		kills++
		h.smtp.Stop()
		h.smtp.Restart()
		h.clock.add(3 * time.Minute) // the next process begins when the dead one's claims have ended
	}
	node()
	until("the rest", func() bool { return h.states(h.a) == fmt.Sprint("sent ", messages) })
	ids, to, doubled := map[string]bool{}, map[string]bool{}, 0
	for _, m := range h.smtp.Got() {
		if ids[m.MessageID] {
			doubled++
		}
		ids[m.MessageID], to[m.To] = true, true
	}
	if len(ids) != messages || len(to) != messages {
		t.Errorf("%d Message-IDs to %d people, want %d", len(ids), len(to), messages)
	}
	if doubled > kills {
		t.Errorf("%d came twice; each kill has one message between its final dot and the answer", doubled)
	}
	t.Logf("%d messages over %d kills, %d came twice", messages, kills, doubled)
}

// Mail servers of tenants that take connections and then say nothing hold up neither each other nor tenants whose mail
// goes elsewhere.
func TestSilentServers(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var open []net.Conn
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open = append(open, c)
			mu.Unlock()
		}
	}()
	connected := func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(open)
	}
	o := h.outbox()
	const silent = 12
	for i := range silent {
		tn, err := h.tenants.Create(t.Context(), tenant.Spec{Hostname: fmt.Sprintf("s%d.example.com", i)})
		if err == nil {
			err = h.tenants.SetSMTP(t.Context(), tn.Hostname, "smtp://"+l.Addr().String())
		}
		if err != nil {
			t.Fatal(err)
		}
		h.put(o, tn, "x@example.com")
		o.Wake(tn)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- o.Run(ctx) }()
	for end := time.Now().Add(time.Minute); connected() < silent && time.Now().Before(end); {
		time.Sleep(5 * time.Millisecond)
	}
	if n := connected(); n != silent {
		t.Errorf("%d of %d servers are spoken to at once", n, silent)
	}
	h.put(o, h.a, "y@example.com")
	o.Wake(h.a)
	for end := time.Now().Add(time.Minute); len(h.smtp.Got()) == 0 && time.Now().Before(end); {
		time.Sleep(5 * time.Millisecond)
	}
	if len(h.smtp.Got()) != 1 {
		t.Error("mail for the deployment's server waits for the silent ones")
	}
	stop()
	_ = l.Close()
	mu.Lock()
	for _, c := range open {
		_ = c.Close()
	}
	mu.Unlock()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// What operators see of the queue, and a server on trial.
func TestListAndTry(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	o := h.outbox()
	h.smtp.Hook(func(s mailtest.Step, what string) mailtest.Verdict {
		switch {
		case s == mailtest.Rcpt && strings.HasPrefix(what, "nobody"):
			return mailtest.Verdict{Reply: "550 no such user here"}
		case s == mailtest.Rcpt && strings.HasPrefix(what, "grey"):
			return mailtest.Verdict{Reply: "451 come back later"}
		}
		return mailtest.Verdict{}
	})
	for _, to := range []string{"alice@example.com", "nobody@example.com", "grey@example.com"} {
		h.put(o, h.a, to)
		h.clock.add(time.Second)
	}
	h.deliver(o, h.a)
	show := func(failed bool) string {
		list, err := outbox.List(t.Context(), h.db.Tenant(h.a.Schema).Q(), failed, 10)
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, e := range list {
			if e.Kind != string(mail.KindConfirmEmail) || e.Subject != "Confirm your email address" { // also of what is done
				t.Errorf("%s: kind %q, subject %q", e.To, e.Kind, e.Subject)
			}
			out = append(out, strings.TrimSpace(fmt.Sprintf("%s %s %d %t", e.To, e.State, e.Attempts, e.LastError != "")))
		}
		return strings.Join(out, "; ")
	}
	if got, want := show(false), "grey@example.com waiting 1 true; nobody@example.com given up 1 true; alice@example.com sent 1 false"; got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	if got := show(true); got != "nobody@example.com given up 1 true" {
		t.Error(got)
	}
	note := mail.Note{Kind: mail.KindMessage, Subject: "Test", Text: "it works"}
	before := len(h.smtp.Got())
	if err := o.Try(t.Context(), h.a, "alice@example.com", note); err != nil || len(h.smtp.Got()) != before+1 {
		t.Errorf("%v, %d messages", err, len(h.smtp.Got()))
	}
	if err := o.Try(t.Context(), h.a, "nobody@example.com", note); !errors.Is(err, mail.ErrRefused) || !strings.Contains(err.Error(), "no such user here") {
		t.Error(err)
	}
	if err := h.with(outbox.Config{}).Try(t.Context(), h.a, "alice@example.com", note); err == nil || !strings.Contains(err.Error(), "no mail server") {
		t.Error(err)
	}
	addr, err := freeport.Address()
	if err != nil {
		t.Fatal(err)
	}
	server, err := mail.ParseServer("smtp://" + addr)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.with(outbox.Config{Server: server}).Try(t.Context(), h.a, "alice@example.com", note); !errors.Is(err, mail.ErrUnreachable) {
		t.Error(err)
	}
}
