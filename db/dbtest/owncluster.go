package dbtest

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"github.com/auroralocus/locus/db/embedded"
)

// OwnCitus is a coordinator and two workers of one test's own, whose servers may be killed. Its database is made as [URL]'s
// is on the cluster that all tests share.
type OwnCitus struct {
	*Cluster
	Coordinator *Member
	Workers     []*Member
	URL         string
}

// NewCitus starts one, of this machine's Postgres, which has to have the library of Citus.
func NewCitus(t testing.TB) *OwnCitus {
	t.Helper()
	c := &OwnCitus{Cluster: &Cluster{t: t, dir: folder(t, base(), "locus-citus-")}}
	c.Coordinator = c.start("coordinator", citusSettings()...)
	for i := range 2 {
		c.Workers = append(c.Workers, c.start(fmt.Sprintf("worker%d", i+1), citusSettings()...))
	}
	var workers []string
	c.Coordinator.knowsItself()
	for _, w := range c.Workers {
		w.knowsItself()
		workers = append(workers, w.Host())
	}
	c.URL = makeOnCitus(t, c.Coordinator.URL(), workers, fmt.Sprintf("own_%d_%d", os.Getpid(), databases.Add(1)), true)
	return c
}

// Host is how the members of a cluster know a server: by the folder of its socket.
func (m *Member) Host() string {
	u, err := url.Parse(m.server.URL)
	if err != nil {
		m.t.Fatal(err)
	}
	return u.Query().Get("host") + ":5432"
}

// knowsItself says how a server reaches itself, which Citus has it do: no other way than its socket leads there.
func (m *Member) knowsItself() {
	host, _, err := net.SplitHostPort(m.Host())
	if err != nil {
		m.t.Fatal(err)
	}
	m.Configure("citus.local_hostname", host)
}

func citusSettings() (all []embedded.Option) {
	for name, value := range map[string]string{
		"shared_preload_libraries": "citus", "wal_level": "logical", "max_worker_processes": "40", "max_prepared_transactions": "200",
		"max_logical_replication_workers": "12", "max_connections": "200",
	} {
		all = append(all, embedded.Setting(name, value))
	}
	return all
}

// Standby makes a standby of a worker.
func (c *OwnCitus) Standby(of *Member) *Member {
	name := filepath.Base(of.name) + "-standby"
	return c.start(name, append(citusSettings(), embedded.StandbyOf(of.server, name))...)
}
