package dbtest_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/auroralocus/locus/db/dbtest"
)

// roleEnv makes this program one of several test processes: see TestManyProcesses.
const roleEnv = "LOCUS_DBTEST_TEST_CHILD"

func TestNew(t *testing.T) {
	a, b := dbtest.New(t), dbtest.New(t)
	for range 2 {
		if _, err := a.Control().LockNextCounter(t.Context(), "tenant_id"); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := b.Control().LockNextCounter(t.Context(), "tenant_id"); n != 1 || err != nil {
		t.Errorf("two tests share a database: %d %v", n, err)
	}
	s := dbtest.Tenant(t, a)
	if s == dbtest.Tenant(t, a) {
		t.Error("two tenants share a schema")
	}
	if aid, err := a.Tenant(s).Q().LockNextAID(t.Context()); aid != 1 || err != nil {
		t.Errorf("%d %v", aid, err)
	}
}

// TestChild is a test process of its own.
func TestChild(t *testing.T) {
	if os.Getenv(roleEnv) == "" {
		return
	}
	d := dbtest.New(t)
	if _, err := d.Tenant(dbtest.Tenant(t, d)).Q().LockNextAID(t.Context()); err != nil {
		t.Fatal(err)
	}
	fmt.Println("served")
	if os.Getenv(roleEnv) == "dies" {
		os.Exit(3) // no cleanup runs
	}
}

// Test processes that start at once share one server; it goes when the last has gone, however they went, and comes
// again for the next.
func TestManyProcesses(t *testing.T) {
	tmp, err := os.MkdirTemp("/tmp", "dbt")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(tmp) })
	if err := os.Chmod(tmp, 0o755); err != nil {
		t.Fatal(err)
	}
	run := func(role string) {
		cmd := exec.Command(os.Args[0], "-test.run=^TestChild$", "-test.v")
		cmd.Env = append(os.Environ(), roleEnv+"="+role, "TMPDIR="+tmp, "LOCUS_DBTEST_IDLE=300ms", "LOCUS_TEST_DATABASE_URL=")
		out, err := cmd.CombinedOutput()
		if (err != nil) != (role == "dies") || !strings.Contains(string(out), "served") {
			t.Errorf("%s: %v\n%s", role, err, out)
		}
	}
	var wg sync.WaitGroup
	for i := range 6 {
		role := "lives"
		if i%3 == 0 {
			role = "dies"
		}
		wg.Go(func() { run(role) })
	}
	wg.Wait()
	gone := func() bool {
		left, err := filepath.Glob(tmp + "/*")
		return err == nil && len(left) == 0
	}
	for round := range 2 {
		for deadline := time.Now().Add(2 * time.Minute); !gone(); time.Sleep(20 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("the server is left behind")
			}
		}
		if round == 0 {
			run("lives")
		}
	}
}

// BenchmarkNew is what a test pays for its own database, and a tenant.
func BenchmarkNew(b *testing.B) {
	for b.Loop() {
		d := dbtest.New(b)
		dbtest.Tenant(b, d)
	}
}
