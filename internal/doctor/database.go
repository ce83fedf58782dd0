package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"syscall"
	"time"

	"github.com/auroralocus/locus/db"
)

const (
	clockApart = 5 * time.Second
	leastLocks = 64 // Postgres's default
	// tenantTables are the tables of a tenant: a dump of the database locks each, and Postgres has room for so many locks in
	// all as a transaction may have, times its connections.
	tenantTables = 16
)

// Deployment is what is looked at that is no tenant's.
type Deployment struct {
	Facts func(ctx context.Context) (db.Facts, error)
	// Behind counts tenants whose schema is older than this program.
	Behind func(ctx context.Context) (int64, error)
	// Keys tells whether the master key is the database's; nil: it fits.
	Keys func(ctx context.Context) error
	// Folders are where files are kept on this machine.
	Folders []string
	// Room tells the free and the whole bytes of a folder's disk; nil asks the system.
	Room func(folder string) (free, all uint64, err error)
	Now  func() time.Time
	// RoundTrip takes the time of one statement that does nothing; nil: it is not looked at.
	RoundTrip func(ctx context.Context) (time.Duration, error)
	// Directory gives the time of the PLC directory; nil: it is built in.
	Directory    func(ctx context.Context) (time.Time, error)
	DirectoryURL string
	// Relays are those whose clock ours is held against, asked by HTTP.
	Relays []string
	HTTP   *http.Client
	DNS    *net.Resolver
	// Mail is the deployment's mail server; nil: it is not looked at.
	Mail *Post
	// Stores are where files are kept.
	Stores []Store
	// Lacking names processes without a key that they need; nil: it is not looked at.
	Lacking func(ctx context.Context) ([]string, error)
	// Noted is what the database says that the deployment is; "": nothing yet. Nil: it is not looked at.
	Noted func(ctx context.Context) (string, error)
	// Said is what a flag of this program says against it; nil: nothing.
	Said error
	// Further are the other servers of Postgres that tenants are on.
	Further []Server
	// Proofs says what was restored on trial; nil: it is not looked at.
	Proofs func(ctx context.Context) (Proofs, error)
	// Serving: this process is one of the nodes, and says for itself how its machine is.
	Serving bool
	// Nodes gives what the processes say of themselves; nil: they are not looked at.
	Nodes func(ctx context.Context) ([]Node, error)
}

// Server is a server of Postgres beside the one of the control schema.
type Server struct {
	Name string
	Ask  func(ctx context.Context) error
}

func (s Server) look(ctx context.Context) []Finding {
	if err := s.Ask(ctx); err != nil {
		return one(Error, "database-node", "a database that tenants are on cannot be used: they are not served", s.Name+": "+err.Error(), "see that it runs, and that the URL of the node leads to it: docs/databases.md")
	}
	return nil
}

// Store is a place for files.
type Store struct {
	Name string
	// Try writes, reads and deletes a small file.
	Try func(ctx context.Context) error
}

// DeploymentChecks are the checks of what all tenants share.
func DeploymentChecks(d Deployment) []Check {
	if d.Room == nil {
		d.Room = room
	}
	checks := []Check{
		{deployment, "database", "the Postgres of the control schema: settings and clock", d.database},
		{deployment, "schemas", "versions of the tenants' schemas", d.schemas},
	}
	for _, s := range d.Further {
		checks = append(checks, Check{deployment, "database-node", "whether Postgres " + s.Name + " answers, and is the one that it should be", s.look})
	}
	if d.Nodes != nil {
		checks = append(checks, Check{deployment, "nodes", "what all processes together ask of Postgres, and whether each looks after itself", d.nodes})
	}
	if d.Noted != nil {
		checks = append(checks, Check{deployment, "facts", "public scheme, port, PLC directory and kind of the deployment: the database against what processes were started with", d.facts})
	}
	if d.Proofs != nil {
		checks = append(checks, Check{deployment, "restorable", "when backups and the copy of the master key were last proved", d.restorable})
	}
	if d.Directory != nil {
		checks = append(checks, Check{deployment, "plc", "the PLC directory, and its clock against ours", d.directory})
	}
	if d.Mail != nil {
		checks = append(checks, d.Mail.checks(deployment, d.DNS)...)
	}
	for _, relay := range d.Relays {
		checks = append(checks, Check{deployment, "clock", "the clock of " + relay + " against ours", func(ctx context.Context) []Finding { return d.relayClock(ctx, relay) }})
	}
	if d.Serving {
		return checks
	}
	return append(checks, d.machineChecks(deployment)...)
}

const deployment = "deployment"

// machineChecks are of what is another thing on each machine.
func (d Deployment) machineChecks(group string) []Check {
	checks := []Check{
		{group, "master-key", "whether the master key is the database's", d.masterKey},
		{group, "disk", "room in the folders for files", d.disk},
	}
	if d.RoundTrip != nil {
		checks = append(checks, Check{group, "database-speed", "how long Postgres takes for a statement that does nothing", d.speed})
	}
	for _, s := range d.Stores {
		checks = append(checks, Check{group, "files", "write, read and delete a small file in " + s.Name, s.look})
	}
	return checks
}

func (d Deployment) database(ctx context.Context) (found []Finding) {
	before := d.Now()
	f, err := d.Facts(ctx)
	after := d.Now()
	if err != nil {
		return one(Error, "database", "the database does not answer", err.Error(), "see that Postgres runs and that --database-url leads to it")
	}
	add := func(s Severity, name, wrong, seen, do string) {
		found = append(found, Finding{s, name, wrong, seen, do})
	}
	if f.Fsync != "on" {
		add(Error, "database-fsync", "what was acknowledged is lost when the machine stops", "fsync is "+f.Fsync, "set fsync = on and restart Postgres")
	}
	if f.FullPageWrites != "on" {
		add(Error, "database-pages", "pages may be torn when the machine stops", "full_page_writes is "+f.FullPageWrites, "set full_page_writes = on and reload Postgres")
	}
	if f.SynchronousCommit == "off" {
		add(Error, "database-commit", "the last acknowledged writes are lost when Postgres stops", "synchronous_commit is off", "set synchronous_commit = on for the server, the database and the login")
	}
	if f.LocksPerTx < leastLocks {
		add(Warning, "database-locks", "dumps and work over many tenants may run out of locks", fmt.Sprintf("max_locks_per_transaction is %d", f.LocksPerTx), fmt.Sprintf("set it to %d or more and restart Postgres", leastLocks))
	} else if tables := int64(f.Schemas) * tenantTables; f.MaxConnections > 0 && tables > int64(f.LocksPerTx)*int64(f.MaxConnections) {
		enough := (tables + tables/4) / int64(f.MaxConnections)
		add(Warning, "database-locks", "a dump of the whole database ends with \"out of shared memory\"",
			fmt.Sprintf("max_locks_per_transaction is %d and max_connections %d, and the tenants have %d tables", f.LocksPerTx, f.MaxConnections, tables),
			fmt.Sprintf("set max_locks_per_transaction to %d or more and restart Postgres, or keep base backups", enough+1))
	}
	if f.MaxConnections > 0 && f.Used*10 >= f.MaxConnections*9 {
		add(Warning, "database-connections", "Postgres has hardly a connection left", fmt.Sprintf("%d of %d are open", f.Used, f.MaxConnections), "raise max_connections, or lower the sizes of the pools")
	}
	return append(found, d.clock(f, before, after)...)
}

func (d Deployment) clock(f db.Facts, before, after time.Time) []Finding {
	if f.Clock.Before(before.Add(-clockApart)) || f.Clock.After(after.Add(clockApart)) {
		return one(Error, "clock", "the clocks of Postgres and of this machine differ", fmt.Sprintf("Postgres says %s, this machine %s", f.Clock.UTC().Format(time.RFC3339), after.UTC().Format(time.RFC3339)), "let both follow the same time servers")
	}
	return nil
}

func (d Deployment) schemas(ctx context.Context) []Finding {
	n, err := d.Behind(ctx)
	switch {
	case errors.Is(err, db.ErrTooNew):
		return one(Error, "schemas-new", "a newer version has migrated the database", err.Error(), "update this program")
	case err != nil:
		return one(Error, "schemas", "the versions of schemas cannot be read", err.Error(), "'locus migrate' brings them up to date")
	case n > 0:
		return one(Warning, "schemas-behind", fmt.Sprintf("%d tenants are behind this version", n), "'locus migrate --status' lists failures", "servers upgrade them in the background, 'locus migrate' at once")
	}
	return nil
}

func (d Deployment) masterKey(ctx context.Context) []Finding {
	if err := d.Keys(ctx); err != nil {
		return one(Error, "master-key", "the master key cannot be used", err.Error(), "give the key of this database by --master-key, LOCUS_MASTER_KEY or the file master.key in the data folder")
	}
	return nil
}

func (d Deployment) disk(context.Context) (found []Finding) {
	for _, folder := range d.Folders {
		free, all, err := d.Room(folder)
		if err != nil {
			found = append(found, Finding{Error, "disk", "a folder for files cannot be looked at", folder + ": " + err.Error(), "see that it is there and mounted"})
			continue
		}
		seen := fmt.Sprintf("%s: %d of %d MB are free", folder, free>>20, all>>20)
		switch {
		case free < all/50: // 2 %
			found = append(found, Finding{Error, "disk-full", "a disk is full", seen, "make room or enlarge it: uploads fail, and a database on it stops"})
		case free < all/10:
			found = append(found, Finding{Warning, "disk-low", "a disk is nearly full", seen, "make room or enlarge it"})
		}
	}
	return found
}

func room(folder string) (free, all uint64, err error) {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(folder, &fs); err != nil {
		return 0, 0, err
	}
	return fs.Bavail * uint64(fs.Bsize), fs.Blocks * uint64(fs.Bsize), nil
}

// look says why files cannot be kept. What the store's error says tells a wrong key from a server that is away.
func (s Store) look(ctx context.Context) []Finding {
	if err := s.Try(ctx); err != nil {
		return one(Error, "files", "files cannot be kept or read", s.Name+": "+err.Error(), "see that it is there, has room, and that keys and rights are right: docs/blobs.md")
	}
	return nil
}

const (
	slowDatabase = 25 * time.Millisecond
	stuckAfter   = 250 * time.Millisecond
	trips        = 5
)

// speed is the middle of several statements: one alone may have waited for a connection to be made.
func (d Deployment) speed(ctx context.Context) []Finding {
	var took []time.Duration
	for range trips {
		t, err := d.RoundTrip(ctx)
		if err != nil {
			return notLooked("Postgres does not answer: %v", err) // the check of the database finds that
		}
		took = append(took, t)
	}
	slices.Sort(took)
	middle := took[trips/2]
	seen := fmt.Sprintf("a statement that does nothing takes %s", middle.Round(100*time.Microsecond))
	const do = "see what it does (pg_stat_activity), its disk and its processors, and how far away it is"
	switch {
	case middle >= stuckAfter:
		return one(Error, "database-slow", "Postgres is so slow that requests fail", seen, do)
	case middle >= slowDatabase:
		return one(Warning, "database-slow", "Postgres is slow", seen, do)
	}
	return nil
}
