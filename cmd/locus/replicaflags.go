package main

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/internal/tenant"
)

// replicaFlags name standbys that public reads and exports may be answered from.
type replicaFlags struct {
	DatabaseReplica  []string      `sep:"none" placeholder:"[NODE=]URL" help:"A streaming standby of the database, or of the one that NODE names in 'locus node list'. Exports and public reads go there while it is new enough, and never what an account reads with its token; may be repeated, one server each. In the environment several stand one a line, or behind commas. See docs/high-availability.md." env:"LOCUS_DATABASE_REPLICAS"`
	ReplicaStaleness time.Duration `placeholder:"TIME" help:"How old the answers of a replica may be, at least 500ms. One that is further behind is not asked; default: ${default}." default:"2s" env:"LOCUS_REPLICA_STALENESS"`
}

// replicas are the standbys, which must be of databases that a URL is given for.
func (f replicaFlags) replicas(nodes map[string]string) ([]db.Replica, error) {
	if f.ReplicaStaleness != 0 && f.ReplicaStaleness < db.LeastReplicaStaleness {
		return nil, fmt.Errorf("--replica-staleness or LOCUS_REPLICA_STALENESS must be at least %s", db.LeastReplicaStaleness)
	}
	var out []db.Replica
	for _, e := range entriesOf(f.DatabaseReplica, beginsReplica) {
		if e = strings.TrimSpace(e); e == "" {
			continue
		}
		node, at := "", e
		if name, rest, ok := strings.Cut(e, "="); ok && !strings.Contains(name, "://") {
			node, at = name, rest
		}
		if u, err := url.Parse(at); err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" { // without the text: it may hold a password
			return nil, fmt.Errorf("--database-replica or LOCUS_DATABASE_REPLICAS: want [NODE=]postgres://…")
		}
		if node == tenant.HomeName {
			node = ""
		}
		if _, ok := nodes[node]; node != "" && !ok {
			return nil, fmt.Errorf("--database-replica or LOCUS_DATABASE_REPLICAS: --database-node gives no URL for node %.40q, whose replica this is", node)
		}
		out = append(out, db.Replica{Node: node, URL: at})
	}
	return out, nil
}
