package outbox_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/internal/keyring"
	"github.com/auroralocus/locus/internal/mail"
	"github.com/auroralocus/locus/internal/mail/mailtest"
	"github.com/auroralocus/locus/internal/mail/outbox"
	"github.com/auroralocus/locus/internal/tenant"
)

// Many processes empty one queue: every message once, while the server comes and goes. A message whose good answer got
// lost may come twice, under one Message-ID: that one window is there with every mail program.
func TestManyProcesses(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	const messages = 120
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	boxes := make([]*outbox.Outbox, 4)
	for i := range boxes {
		boxes[i] = h.outbox()
		wg.Go(func() {
			if err := boxes[i].Run(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	var lost sync.Map // Message-IDs whose answer the server did not give
	var n atomic.Int64
	h.smtp.Hook(func(s mailtest.Step, what string) mailtest.Verdict {
		k := n.Add(1)
		switch {
		case s == mailtest.Rcpt && k%11 == 0:
			return mailtest.Verdict{Reply: "451 busy"}
		case s == mailtest.Data && k%13 == 0:
			return mailtest.Verdict{Drop: true}
		case s == mailtest.Accepted && k%17 == 0:
			lost.Store(what, true)
			return mailtest.Verdict{Drop: true}
		}
		return mailtest.Verdict{}
	})
	for i := range messages {
		tn := []*tenant.Tenant{h.a, h.b}[i%2]
		h.put(boxes[i%4], tn, fmt.Sprintf("u%d@example.com", i))
		boxes[i%4].Wake(tn)
		if i == 60 {
			h.smtp.Stop()
			time.Sleep(50 * time.Millisecond)
			h.smtp.Restart()
		}
	}
	deadline := time.Now().Add(30 * time.Second)
	for h.states(h.a) != "sent 60" || h.states(h.b) != "sent 60" {
		if time.Now().After(deadline) {
			t.Fatalf("%s; %s", h.states(h.a), h.states(h.b))
		}
		h.clock.add(2 * time.Second)
		for _, o := range boxes {
			o.Wake(h.a)
			o.Wake(h.b)
		}
		time.Sleep(50 * time.Millisecond)
	}
	stop()
	wg.Wait()
	to := map[string]int{}
	for _, m := range h.smtp.Got() {
		to[m.To]++
	}
	doubled := 0
	for i := range messages {
		switch k := to[fmt.Sprintf("u%d@example.com", i)]; {
		case k == 0:
			t.Errorf("u%d lost", i)
		case k > 1:
			doubled++
		}
	}
	ids := map[string]int{}
	for _, m := range h.smtp.Got() {
		ids[m.MessageID]++
	}
	if len(ids) != messages {
		t.Errorf("%d Message-IDs for %d messages", len(ids), messages)
	}
	for id, k := range ids {
		if _, answerLost := lost.Load(id); k > 1 && !answerLost {
			t.Errorf("%s came %d times, and its answer was not lost", id, k)
			for line := range strings.Lines(h.log.String()) {
				if strings.Contains(line, id[:24]) {
					t.Log(line)
				}
			}
		}
	}
	t.Logf("%d messages, %d came again because the server's answer was lost", messages, doubled)
}

// A process that is killed at the worst moments. Before the final dot: the message comes once. After it: it may come
// again, with the same Message-ID, and is never lost.
func TestKilledProcess(t *testing.T) {
	if url := os.Getenv("OUTBOX_TEST_URL"); url != "" {
		child(t, url)
		return
	}
	t.Parallel()
	key := filepath.Join(t.TempDir(), "master.key")
	h := furnish(t, dbtest.URL(t), openKeys(t, key))
	for _, step := range []mailtest.Step{mailtest.Rcpt, mailtest.Data, mailtest.Accepted} {
		o := h.outbox()
		before := len(h.smtp.Got())
		h.put(o, h.a, string(step)+"@example.com")
		reached := make(chan struct{})
		var once sync.Once
		release := make(chan struct{})
		h.smtp.Hook(func(s mailtest.Step, _ string) mailtest.Verdict {
			if s == step {
				once.Do(func() { close(reached); <-release })
			}
			return mailtest.Verdict{}
		})
		cmd := exec.Command(os.Args[0], "-test.run=^TestKilledProcess$")
		cmd.Env = append(os.Environ(), "OUTBOX_TEST_URL="+h.url, "OUTBOX_TEST_SMTP="+h.smtp.URL(), "OUTBOX_TEST_KEY="+key, fmt.Sprint("OUTBOX_TEST_AHEAD=", h.clock.ahead.Load()))
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		select {
		case <-reached:
		case <-time.After(20 * time.Second):
			t.Fatalf("%s: the child sends nothing", step)
		}
		_ = cmd.Process.Kill() // SIGKILL
		_ = cmd.Wait()
		close(release)
		// The claim holds others off until it ends.
		h.deliver(o, h.a)
		if got := h.states(h.a); strings.Contains(got, "waiting") {
			t.Errorf("%s: right after the crash: %s", step, got)
		}
		h.clock.add(3 * time.Minute)
		h.deliver(o, h.a)
		got := h.smtp.Got()[before:]
		want := 1
		if step == mailtest.Accepted {
			want = 2 // the one window
		}
		if len(got) != want || got[0].MessageID != got[len(got)-1].MessageID {
			t.Errorf("killed at %s: %d messages, want %d", step, len(got), want)
		}
		if s := h.states(h.a); strings.Contains(s, "claimed") || strings.Contains(s, "handing") {
			t.Errorf("%s: %s", step, s)
		}
	}
}

func openKeys(t testing.TB, file string) *keyring.Keyring {
	t.Helper()
	master, err := keyring.LoadOrCreateMaster(file)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := keyring.New(master, 0)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// child is the process that gets killed.
func child(t *testing.T, url string) {
	d, err := db.Open(t.Context(), db.Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	server, err := mail.ParseServer(os.Getenv("OUTBOX_TEST_SMTP"))
	if err != nil {
		t.Fatal(err)
	}
	keys := openKeys(t, os.Getenv("OUTBOX_TEST_KEY"))
	log := slog.New(slog.DiscardHandler)
	ahead, err := strconv.ParseInt(os.Getenv("OUTBOX_TEST_AHEAD"), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	now := new(clock)
	now.add(time.Duration(ahead))
	tenants := tenant.NewRegistry(d, keys, tenant.Config{}, now.Now, log)
	o := outbox.New(d, keys, tenants, outbox.Config{Server: server}, now.Now, log)
	all, err := tenants.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, tn := range all {
		o.Wake(tn)
	}
	if err := o.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
}
