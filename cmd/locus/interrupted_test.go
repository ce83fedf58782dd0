package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/job"
	"github.com/auroralocus/locus/internal/tenant"
)

// TestInterrupted: whoever runs a command that is interrupted learns that it did not do what it was asked for. A server
// that is ended while it starts ends in order.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		command string
		signal  syscall.Signal
		status  int
		says    string
	}{
		{"tenant list", syscall.SIGINT, 130, "locus: interrupted: "},
		{"tenant create pds.example.com", syscall.SIGTERM, 143, "locus: interrupted: "},
		{"serve --listen 127.0.0.1:0", syscall.SIGTERM, 0, ""},
	} {
		silent, err := net.Listen("tcp", "127.0.0.1:0") // where a database would be
		must(t, err)
		defer silent.Close()
		cmd := locus(t, append(strings.Fields(c.command), "--data-dir", t.TempDir(), "--database-url", "postgres://u@"+silent.Addr().String()+"/locus?sslmode=disable")...)
		cmd.Env = append(cmd.Env, "LOCUS_MASTER_KEY="+strings.Repeat("cd", 32))
		var said bytes.Buffer
		cmd.Stderr = &said
		must(t, cmd.Start())
		conn, err := silent.Accept()
		must(t, err)
		defer conn.Close()
		must(t, cmd.Process.Signal(c.signal))
		err = cmd.Wait()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		if got := cmd.ProcessState.ExitCode(); got != c.status || !strings.Contains(said.String(), c.says) {
			t.Errorf("%s: status %d\n%s", c.command, got, said.String())
		}
	}
}

// TestStatusOfJobs: a result that says that something is wrong is an error, also where it is printed as JSON.
func TestStatusOfJobs(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t)
	for kind, c := range map[string]struct {
		result any
		judge  func(job.Job) error
	}{
		act.JobDrain:       {act.Drained{Node: "second", Failed: 1}, notDrained},
		act.JobBackupDrill: {act.DrillResult{Hostname: "pds.example.com"}, notProved},
	} {
		jobs := job.New(d, time.Now, slog.New(slog.DiscardHandler))
		jobs.Register(job.Kind{Name: kind, Work: func(_ context.Context, r *job.Run) error { return r.Result(c.result) }})
		err := waitFlags{}.judged(t.Context(), jobs, tenant.NewRegistry(d, nil, tenant.Config{}, time.Now, slog.New(slog.DiscardHandler)), job.Spec{Kind: kind}, true, nil, c.judge)
		if err == nil {
			t.Errorf("%s: no error", kind)
		}
	}
}

// TestDatabaseOfATenant: an owner's login is to the database that the tenant lies in.
func TestDatabaseOfATenant(t *testing.T) {
	t.Parallel()
	url := dbtest.EmptyURL(t)
	d := dbtest.OpenNodes(t, dbtest.URL(t), map[string]string{"second": url})
	r := tenant.NewRegistry(d, nil, tenant.Config{}, time.Now, slog.New(slog.DiscardHandler))
	second, err := act.NewTenantActs(d, r, time.Now).AddNode(t.Context(), byCommand(), "second", true, "")
	must(t, err)
	var f tenantFlags
	f.DatabaseURL, f.DatabaseNode = "postgres://u@h1/one", []string{"second=postgres://u:secret@h2/two?sslmode=require"}
	for node, want := range map[int32]string{1: "postgres://owner@h1/one", second.ID: "postgres://owner@h2/two"} {
		at, err := f.databaseOf(t.Context(), aboutTenant{Tenant: &tenant.Tenant{NodeID: node}, tenants: r})
		if got := loginURL(at, "owner"); got != want || err != nil {
			t.Errorf("node %d: %s, %v", node, got, err)
		}
	}
}
