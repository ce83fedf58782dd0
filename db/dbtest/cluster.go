package dbtest

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/embedded"
)

// Cluster is a primary with two streaming standbys, of one test's own: Sync is one that commits can be made to wait
// for, Async never is.
type Cluster struct {
	t                    testing.TB
	dir                  string
	Primary, Sync, Async *Member
}

// Member is a server of a cluster.
type Member struct {
	t      testing.TB
	name   string
	server *embedded.Server
	start  func() (*embedded.Server, error)
}

// NewCluster starts one with an empty database. Commits wait for no standby yet: see [Cluster.WaitForSync].
func NewCluster(t testing.TB) *Cluster {
	t.Helper()
	c := &Cluster{t: t, dir: folder(t, base(), "locus-cluster-")}
	c.Primary = c.start("primary")
	c.Sync = c.start("syncing", embedded.StandbyOf(c.Primary.server, "syncing"))
	c.Async = c.start("trailing", embedded.StandbyOf(c.Primary.server, "trailing"))
	return c
}

func (c *Cluster) start(name string, opts ...embedded.Option) *Member {
	c.t.Helper()
	m := &Member{t: c.t, name: name}
	m.start = func() (*embedded.Server, error) {
		return embedded.Start(c.t.Context(), filepath.Join(c.dir, name), slog.New(slog.NewTextHandler(io.Discard, nil)), append([]embedded.Option{
			embedded.WithoutRestart(), embedded.Setting("shared_buffers", "16MB"), embedded.Setting("max_wal_size", "256MB"),
			// Nothing here survives the machine, only the death of processes.
			embedded.Setting("fsync", "off"), embedded.Setting("wal_retrieve_retry_interval", "100ms"),
		}, opts...)...)
	}
	var err error
	if m.server, err = m.start(); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() {
		m.Kill() // a standby that has lost its primary may take its time, and nothing is kept
		if err := m.server.Stop(); err != nil {
			c.t.Error(err)
		}
	})
	return m
}

// URL is one for all members: it leads to the one that can be written to.
func (c *Cluster) URL() string {
	u, err := url.Parse(c.Primary.server.URL)
	if err != nil {
		c.t.Fatal(err)
	}
	var hosts, ports []string
	for _, m := range []*Member{c.Primary, c.Sync, c.Async} {
		member, err := url.Parse(m.server.URL)
		if err != nil {
			c.t.Fatal(err)
		}
		hosts = append(hosts, member.Query().Get("host"))
		ports = append(ports, "5432")
	}
	u.RawQuery = url.Values{"host": {strings.Join(hosts, ",")}, "port": {strings.Join(ports, ",")},
		"target_session_attrs": {"read-write"}, "connect_timeout": {"2"}}.Encode()
	return u.String()
}

// URL is of this server alone.
func (m *Member) URL() string { return m.server.URL }

// PauseReplay makes a standby receive and not replay, or go on.
func (m *Member) PauseReplay(pause bool) {
	m.t.Helper()
	verb := "resume"
	if pause {
		verb = "pause"
	}
	m.Ask("SELECT coalesce(pg_wal_replay_" + verb + "()::text, '')")
	for deadline := time.Now().Add(30 * time.Second); pause && m.Ask("SELECT pg_get_wal_replay_pause_state()") != "paused"; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			m.t.Fatal(m.name + " goes on replaying")
		}
	}
}

// WaitForSync makes commits of the primary wait for Sync, or for nobody.
func (c *Cluster) WaitForSync(wait bool) {
	c.t.Helper()
	names := ""
	if wait {
		names = "syncing"
	}
	c.Primary.Configure("synchronous_standby_names", names)
	c.Eventually("the standby counts as synchronous", func() bool {
		return !wait || c.Primary.Ask("SELECT count(*)::text FROM pg_stat_replication WHERE sync_state = 'sync'") == "1"
	})
}

// Eventually waits for something that takes a moment.
func (c *Cluster) Eventually(what string, is func() bool) {
	c.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			c.t.Fatal("not in 30 seconds: " + what)
		}
	}
}

// Ask runs a statement and gives its one text; "" if the server is not there. What a standby's replay cancels is asked
// again.
func (m *Member) Ask(sql string) (text string) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, m.server.URL)
	if err != nil {
		return ""
	}
	defer conn.Close(ctx)
	for err = conn.QueryRow(ctx, sql).Scan(&text); db.IsRetryable(err) && ctx.Err() == nil; {
		err = conn.QueryRow(ctx, sql).Scan(&text)
	}
	if err != nil {
		m.t.Errorf("%s: %s: %v", m.name, sql, err)
	}
	return text
}

// Configure changes a setting of the server, without a restart.
func (m *Member) Configure(name, value string) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for _, sql := range []string{fmt.Sprintf("ALTER SYSTEM SET %s = '%s'", name, value), "SELECT pg_reload_conf()"} {
		if err := exec(ctx, m.server.URL, sql); err != nil {
			m.t.Fatal(err)
		}
	}
}

// CutOff makes a standby stop receiving: what is committed from now on it does not have.
func (m *Member) CutOff() {
	m.t.Helper()
	m.Configure("primary_conninfo", "")
	for deadline := time.Now().Add(30 * time.Second); m.Ask("SELECT count(*)::text FROM pg_stat_wal_receiver") != "0"; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			m.t.Fatal(m.name + " goes on receiving")
		}
	}
}

// Promote makes a standby a primary, and returns when it can be written to.
func (m *Member) Promote() {
	m.t.Helper()
	if m.Ask("SELECT pg_promote(true, 30)::text") != "true" {
		m.t.Fatal(m.name + " is not promoted")
	}
}

// Kill ends the server as a crash of its machine would.
func (m *Member) Kill() {
	m.t.Helper()
	if err := m.server.Kill(); err != nil {
		m.t.Fatal(err)
	}
}

// Restart starts a server again that was killed, at the same place.
func (m *Member) Restart() {
	m.t.Helper()
	if err := m.server.Stop(); err != nil { // gives the folder free
		m.t.Fatal(err)
	}
	var err error
	if m.server, err = m.start(); err != nil {
		m.t.Fatal(err)
	}
}
