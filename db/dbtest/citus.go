package dbtest

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/schema"
	"github.com/jackc/pgx/v5"
)

const citusEnv = "LOCUS_TEST_CITUS_URL"

// Citus tells whether the tests run on a Citus cluster: LOCUS_TEST_CITUS_URL is the URL of its coordinator. Then [New] and
// [URL] make their databases on all of its servers, and [Tenant] puts its schemas on the workers in turn. A test of what
// only a cluster can do asks here first, and the log says that it was not run.
func Citus(t testing.TB) bool {
	t.Helper()
	if os.Getenv(citusEnv) == "" {
		t.Log("NOT RUN on Citus: " + citusEnv + " names no coordinator (deploy/citus/README.md)")
		return false
	}
	return true
}

// Plain has the helpers give the rest of the test a plain server, also where the tests run on a cluster, and the log says
// why: for what is about one server, such as lines to it that break.
func Plain(t testing.TB, why string) {
	t.Helper()
	if os.Getenv(citusEnv) != "" {
		t.Log("NOT ON CITUS: " + why)
	}
	plain.Store(t.Name(), true)
	t.Cleanup(func() { plain.Delete(t.Name()) })
}

var plain sync.Map // names of tests

func onCitus(t testing.TB) bool {
	if os.Getenv(citusEnv) == "" {
		return false
	}
	for name := t.Name(); ; {
		if _, ok := plain.Load(name); ok {
			return false
		}
		i := strings.LastIndexByte(name, '/')
		if i < 0 {
			return true
		}
		name = name[:i]
	}
}

// clusters are the URLs of workers' databases by their names, for each database that was made on a cluster.
var clusters sync.Map

// Workers are the URLs of the workers' databases that belong to a coordinator's, by the names of their nodes.
func Workers(url string) map[string]string {
	all, ok := clusters.Load(clusterKey(url))
	if !ok {
		return nil
	}
	return all.(map[string]string)
}

// Where is the URL of the server that a tenant of a database lies on, as [Tenant] made it.
func Where(url string, s db.Schema) string {
	if at, ok := Workers(url)[fmt.Sprintf("worker%d", s.Node()-1)]; ok {
		return at
	}
	return url
}

// clusterKey is the database's name, which no two have: a URL may lead through a proxy.
func clusterKey(server string) string {
	u, err := url.Parse(server)
	if err != nil {
		return ""
	}
	return u.Path
}

// citusWorkers are the addresses of a cluster's workers.
var citusWorkers = sync.OnceValues(func() ([]string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, os.Getenv(citusEnv))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", citusEnv, err)
	}
	defer conn.Close(ctx)
	rows, err := conn.Query(ctx, "SELECT nodename || ':' || nodeport FROM pg_catalog.pg_dist_node WHERE groupid > 0 AND isactive AND noderole = 'primary' ORDER BY groupid")
	if err != nil {
		return nil, fmt.Errorf("%s: %w", citusEnv, err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err == nil && len(all) < 2 {
		err = fmt.Errorf("%s: the cluster has %d workers, need two", citusEnv, len(all))
	}
	return all, err
})

// at is the URL of another server, HOST:PORT, that is reached as the first one is; the host may be a folder of sockets.
func at(server, address string) string {
	u, err := url.Parse(server)
	if err != nil {
		panic("dbtest: " + citusEnv + " must be a URL")
	}
	if host, port, err := net.SplitHostPort(address); err == nil && strings.HasPrefix(host, "/") {
		q := u.Query()
		q.Set("host", host)
		q.Set("port", port)
		u.RawQuery = q.Encode()
		return u.String()
	}
	u.Host = address
	return u.String()
}

// addressOf is HOST:PORT of the server of a URL.
func addressOf(server string) (string, error) {
	u, err := url.Parse(server)
	if err != nil {
		return "", err
	}
	if host := u.Query().Get("host"); host != "" {
		return net.JoinHostPort(host, cmp.Or(u.Query().Get("port"), "5432")), nil
	}
	return net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "5432")), nil
}

// createOnCitus makes a database on all servers of the cluster, and one cluster of them.
func createOnCitus(t testing.TB, name string, control bool) string {
	t.Helper()
	workers, err := citusWorkers()
	if err != nil {
		t.Fatal(err)
	}
	coordinator := os.Getenv(citusEnv)
	servers := []string{coordinator}
	for _, w := range workers {
		servers = append(servers, at(coordinator, w))
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		making.Lock()
		defer making.Unlock()
		if err := each(servers, func(s string) error { return exec(ctx, s, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)") }); err != nil {
			t.Error(err)
		}
	})
	making.Lock()
	defer making.Unlock()
	return makeOnCitus(t, coordinator, workers, name, control)
}

// making is held while a cluster's database is made or dropped: Citus refuses one for the end of another.
var making sync.Mutex

func makeOnCitus(t testing.TB, coordinator string, workers []string, name string, control bool) string {
	t.Helper()
	servers := []string{coordinator}
	nodes := map[string]string{}
	for i, w := range workers {
		servers = append(servers, at(coordinator, w))
		nodes[fmt.Sprintf("worker%d", i+1)] = withDatabase(at(coordinator, w), name)
	}
	err := each(servers, func(s string) error {
		if err := exec(t.Context(), s, "CREATE DATABASE "+name+" TEMPLATE template0 ENCODING 'UTF8' STRATEGY file_copy"); err != nil {
			return err
		}
		return exec(t.Context(), withDatabase(s, name), "SET client_min_messages = error; CREATE EXTENSION citus")
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := exec(t.Context(), withDatabase(coordinator, name), clusterScript(t, coordinator, workers, control)); err != nil {
		t.Fatal(err)
	}
	made := withDatabase(coordinator, name)
	clusters.Store(clusterKey(made), nodes)
	t.Cleanup(func() { clusters.Delete(clusterKey(made)) })
	return made
}

func clusterScript(t testing.TB, coordinator string, workers []string, control bool) string {
	var b strings.Builder
	b.WriteString("SET client_min_messages = error;\n")
	add := func(as, address string) {
		host, port, err := net.SplitHostPort(address)
		if err == nil {
			_, err = strconv.Atoi(port)
		}
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "SELECT %s('%s', %s);\n", as, host, port)
	}
	own, err := addressOf(coordinator)
	if err != nil {
		t.Fatal(err)
	}
	add("citus_set_coordinator_host", own)
	for _, w := range workers {
		add("citus_add_node", w)
	}
	if !control {
		return b.String()
	}
	migrations, err := schema.ControlMigrations()
	if err != nil {
		t.Fatal(err)
	}
	b.WriteString(schema.Cluster)
	b.WriteString(schema.Script(schema.ControlName, migrations))
	for i, w := range workers {
		fmt.Fprintf(&b, "INSERT INTO control.node (node_id, dsn_ref, accepts_new, worker) VALUES (%d, 'worker%d', true, '%s');\n", i+2, i+1, w)
	}
	b.WriteString("UPDATE control.node SET accepts_new = false WHERE node_id = 1;\n")
	return b.String()
}

// each runs work for all servers at once.
func each(servers []string, work func(server string) error) error {
	failed := make(chan error, len(servers))
	for _, s := range servers {
		go func() { failed <- work(s) }()
	}
	var first error
	for range servers {
		if err := <-failed; err != nil && first == nil {
			first = err
		}
	}
	return first
}

// withWorkers are the nodes that a database is opened with: the test's, and the workers.
func withWorkers(url string, nodes map[string]string) (all map[string]string, cluster bool) {
	workers := Workers(url)
	if workers == nil {
		return nodes, false
	}
	all = maps.Clone(workers)
	maps.Copy(all, nodes)
	return all, true
}

// workerFor is the node of a test's next tenant, or 0.
func workerFor(d *db.DB, n int64) int32 {
	var workers []int32
	for _, node := range d.KnownNodes() {
		if d.Apart(db.HomeNode, node) {
			workers = append(workers, node)
		}
	}
	slices.Sort(workers)
	if len(workers) == 0 {
		return 0
	}
	return workers[n%int64(len(workers))]
}
