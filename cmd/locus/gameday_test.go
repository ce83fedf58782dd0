package main

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/auroralocus/locus/internal/blob/blobtest"
	"github.com/auroralocus/locus/internal/doctor"
	"github.com/auroralocus/locus/internal/keyring"
	"github.com/auroralocus/locus/internal/mail/mailtest"
	"github.com/auroralocus/locus/internal/tenant"
)

// fault is something that goes wrong, and what names it.
type fault struct {
	name  string
	by    string // what names it
	alert string // which fires; "": none, as it is a warning
	plant func()
	named func() bool
	heal  func()
}

// TestGameDay plants ten faults, one after the other: each is named while it lasts, and by nothing before. docs/gameday.md
// has the table.
func TestGameDay(t *testing.T) {
	t.Parallel()
	g := newGameDay(t)
	strange := ""
	if !within(func() bool { strange = g.strange(); return strange == "" }) {
		t.Errorf("found before anything was broken: %s", strange)
	}
	rules, err := os.ReadFile("../../deploy/prometheus/alerts.yaml")
	must(t, err)
	faults := append(append(g.outside(), g.around()...), g.within()...)
	for _, f := range faults {
		if f.alert != "" && !strings.Contains(string(rules), "alert: "+f.alert+"\n") {
			t.Errorf("%s: there is no alert %s", f.name, f.alert)
		}
		if !within(func() bool { return !f.named() }) { // a busy machine may be slow by itself
			t.Errorf("%s: named before it was planted", f.name)
			continue
		}
		began := time.Now()
		f.plant()
		if !within(f.named) {
			t.Errorf("%s: nothing names it", f.name)
		}
		t.Logf("%-32s %-62s %.1f s", f.name, f.by, time.Since(began).Seconds())
		f.heal()
	}
	if g.disk != "" && len(faults) != 10 || len(faults) < 9 {
		t.Errorf("%d faults", len(faults))
	}
	g.letter()
}

// within waits for something.
func within(is func() bool) bool {
	for end := time.Now().Add(time.Minute); !is(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			return false
		}
	}
	return true
}

// strange is a finding that has no reason while nothing is broken. Servers of tests do not sync, their callers are on
// loopback, and nobody tried a backup; the disk is what it is.
func (g *gameDay) strange() string {
	for name := range g.finds(g.x) {
		if !strings.HasPrefix(name, "database-") && name != "address-unknown" && name != "key-copy" && name != "restore-stale" && !strings.HasPrefix(name, "disk-") {
			return name
		}
	}
	return ""
}

// by has the doctor asked.
func (g *gameDay) by(names ...string) func() bool {
	return func() bool {
		found := g.finds(g.x)
		for _, name := range names {
			if found[name] != "" {
				return true
			}
		}
		return false
	}
}

// outside are faults between the deployment and those who visit it.
func (g *gameDay) outside() []fault {
	right := g.certs["192.0.2.10"]
	return []fault{
		{"wrong DNS", "doctor: tls-untrusted", "LocusDoctorFound", func() { g.set(func() { g.names[gameHost] = "192.0.2.11" }) }, g.by("tls-untrusted"),
			func() { g.set(func() { g.names[gameHost] = "192.0.2.10" }) }},
		{"expired certificate", "doctor: tls-expired", "LocusDoctorFound",
			func() { g.set(func() { g.certs["192.0.2.10"] = g.signed(g.ca.Expired(gameHost, "*."+gameHost)) }) }, g.by("tls-expired"),
			func() { g.set(func() { g.certs["192.0.2.10"] = right }) }},
		{"relay behind", "doctor: relay-behind", "", func() {
			sql(g.T, g.url, `INSERT INTO `+g.schema()+`.repo_event (seq, aid, kind, sequenced_at, rev, seq_off, payload, time_us)
				SELECT last_seq + n, 0, 1, now(), 0, 0, '', last_us + n FROM `+g.schema()+`.stream_head, generate_series(1, 5000) n`)
			sql(g.T, g.url, `UPDATE `+g.schema()+`.stream_head SET last_seq = last_seq + 5000`)
		}, g.by("relay-behind"),
			func() { g.set(func() { g.cursor = 5000 }) }},
	}
}

func (g *gameDay) schema() string {
	t, err := g.x.tenants.Get(g.Context(), gameHost)
	must(g.T, err)
	return t.Schema.String()
}

// around are faults of what the deployment calls.
func (g *gameDay) around() []fault {
	var off time.Duration
	location := g.bucket()
	x := g.withBucket(location, blobtest.SecretKey)
	return []fault{
		{"mail refused", "doctor: mail-refused", "LocusMailStuck", g.post.Stop, g.by("mail-refused"), g.post.Restart},
		{"S3 keys wrong", "process: files (log, locus_node_findings)", "LocusNodeFound", func() { x = g.withBucket(location, "not the key") },
			func() bool { return g.itself(x, time.Now)["files"] != "" }, func() {}},
		{"clock off", "process: clock (log, locus_node_findings)", "LocusNodeFound", func() { off = time.Hour },
			func() bool { return g.itself(g.x, func() time.Time { return time.Now().Add(off) })["clock"] != "" }, func() { off = 0 }},
		{"PLC unreachable", "doctor: plc-unreachable", "LocusDirectoryAway", g.plc.Close, g.by("plc-unreachable"), func() {}},
	}
}

// within are faults of the server and its machine.
func (g *gameDay) within() []fault {
	filler := filepath.Join(g.disk, "filler")
	other := new(lockedBuffer)
	faults := []fault{
		{"slow Postgres", "the server: locus_node_findings{check=\"database-speed\"}; doctor: database-slow", "LocusNodeFound", func() { g.database.delay.Store(int64(300 * time.Millisecond)) },
			func() bool { return g.shows("database-speed") && g.finds(g.x)["database-slow"] != "" }, func() { g.database.delay.Store(0) }},
		{"a node with another master key", "the node: it refuses to serve, and says why in the log; doctor: master-key", "LocusDown", func() {
			node := locus(g.T, "serve", "--data-dir", g.TempDir(), "--listen", "127.0.0.1:"+freePort(g.T))
			node.Env = append(node.Env, "LOCUS_DATABASE_URL="+g.url, "LOCUS_PLC_URL="+g.plc.URL, "LOCUS_MASTER_KEY="+strings.Repeat("ab", 32))
			node.Stderr = other
			if err := node.Run(); err == nil {
				g.Error("it served")
			}
		}, func() bool { return strings.Contains(other.String(), "master key") && g.strangerFinds() }, func() {}},
	}
	if g.disk == "" {
		return faults
	}
	return append(faults, fault{"full disk", "the server: locus_node_findings{check=\"disk\"}; doctor: disk-full", "LocusNodeFound", func() {
		f, err := os.Create(filler)
		must(g.T, err)
		for block := make([]byte, 4<<10); err == nil; {
			_, err = f.Write(block)
		}
		must(g.T, f.Close())
	}, func() bool { return g.shows("disk") && strings.Contains(g.finds(g.x)["disk-full"], g.folder) }, func() { must(g.T, os.Remove(filler)) }})
}

// strangerFinds is what the doctor says on a machine with another key.
func (g *gameDay) strangerFinds() bool {
	x := g.x
	master, err := keyring.ParseMaster(strings.Repeat("ab", 32))
	must(g.T, err)
	keys, err := keyring.New(master, 1<<20)
	must(g.T, err)
	x.keys, x.serving, x.outbox = keys, false, nil
	x.tenants = tenant.NewRegistry(g.db, keys, x.facts.Config(false), time.Now, slog.New(slog.DiscardHandler))
	return g.finds(x)["master-key"] != ""
}

// letter: the nightly visit writes to the operator what is still wrong.
func (g *gameDay) letter() {
	now := time.Now().Add(time.Hour)
	n := &doctor.Nightly{
		DB: g.db, Hour: 3, Address: "here", Now: func() time.Time { return now }, Log: slog.New(slog.DiscardHandler),
		Checks: func(ctx context.Context) ([]doctor.Check, error) { return g.x.checks(ctx, "", "") },
		Tell: func(ctx context.Context, subject, text string) error {
			return tellOperator(ctx, g.x.post.Server, "noreply@"+gameHost, "operator@example.net", subject, text)
		},
	}
	if done, err := n.Visit(g.Context()); !done || err != nil {
		g.Fatal(done, err)
	}
	got := g.post.Got()
	if len(got) != 1 || got[0].To != "operator@example.net" || !strings.Contains(decoded(got[0]), "plc-unreachable") || n.Counts().Errors == 0 {
		g.Errorf("%+v %+v", got, n.Counts())
	}
}

func decoded(m mailtest.Received) string { return strings.ReplaceAll(m.Body, "=\r\n", "") }
