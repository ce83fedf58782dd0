package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/controldb"
)

const (
	// nodeFirst is when a process looks after itself first, at most: what it stands on has settled by then.
	nodeFirst = 30 * time.Second
	// nodeSilent is when a process that said nothing of itself is missed, at least.
	nodeSilent = 15 * time.Minute
	// nodeForget is when the row of one that is gone goes.
	nodeForget = 24 * time.Hour
	maxNodes   = 1000
)

// NodeFacts are what a process is.
type NodeFacts struct {
	Version string        `json:"version"`
	Pools   map[int32]int `json:"pools"`             // most connections, by server of Postgres
	Store   string        `json:"store"`             // of files, as the flag has it
	Every   time.Duration `json:"every"`             // between two looks
	Started string        `json:"started,omitempty"` // as what deployment it was started; "": its version does not say
}

// Node is what a process last said of itself.
type Node struct {
	ID       int64
	Address  string
	Since    time.Time // it serves
	LookedAt time.Time // zero: it has said nothing
	Facts    NodeFacts
	Results  []Result
}

// Itself looks after a process and its machine, and writes it down for the doctor, whichever process that is.
type Itself struct {
	DB     *db.DB
	ID     int64
	About  func(ctx context.Context) (Deployment, error) // of this machine
	Facts  func() NodeFacts
	Where  string        // host and address, for people
	Every  time.Duration // between two looks
	Now    func() time.Time
	Log    *slog.Logger
	mu     sync.Mutex
	counts map[[2]string]int
}

// Counts are the findings of the last look, by check and severity; those that found nothing are there with 0, from the
// start.
func (n *Itself) Counts() map[[2]string]int {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.counts == nil {
		return countBy(nil)
	}
	return n.counts
}

func countBy(results []Result) map[[2]string]int {
	counts := map[[2]string]int{}
	for _, name := range []string{"master-key", "disk", "database-speed", "files", "clock"} {
		counts[[2]string{name, string(Error)}], counts[[2]string{name, string(Warning)}] = 0, 0
	}
	for _, r := range results {
		for _, f := range r.Findings {
			counts[[2]string{r.Name, string(f.Severity)}]++
		}
	}
	return counts
}

// Run looks again and again, until the context ends.
func (n *Itself) Run(ctx context.Context) error {
	defer n.leave(ctx)
	next := time.NewTimer(min(n.Every, nodeFirst))
	defer next.Stop()
	said := ""
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-next.C:
		}
		results, err := n.Look(ctx)
		if err == nil && ctx.Err() == nil { // else the database is away, which the log says
			said = n.say(results, said)
			if err := n.note(ctx, results); err != nil && ctx.Err() == nil && !db.IsUnavailable(err) {
				n.Log.Warn("what this process found about itself could not be written down", "err", err)
			}
		}
		next.Reset(n.Every)
	}
}

// Look looks once.
func (n *Itself) Look(ctx context.Context) ([]Result, error) {
	d, err := n.About(ctx)
	if err != nil {
		return nil, err
	}
	if d.Room == nil {
		d.Room = room
	}
	results := Examine(ctx, append(d.machineChecks(n.Where), Check{n.Where, "clock", "the clock of this machine against Postgres'", d.ownClock}), CheckTime, nil)
	n.mu.Lock()
	n.counts = countBy(results)
	n.mu.Unlock()
	return results, nil
}

// say logs what was found, and again only when something else is.
func (n *Itself) say(results []Result, said string) string {
	found := fingerprint(results)
	if found == said {
		return said
	}
	for _, r := range results {
		for _, f := range r.Findings {
			n.Log.Warn("something is wrong with this process or its machine", "severity", f.Severity, "finding", f.Name, "wrong", f.Wrong, "seen", f.Seen, "todo", f.Do)
		}
	}
	if found == "" {
		n.Log.Info("nothing is wrong with this process and its machine any more")
	}
	return found
}

func (n *Itself) note(ctx context.Context, results []Result) error {
	is := n.Facts()
	is.Every = n.Every
	facts, err := json.Marshal(is)
	if err != nil {
		return err
	}
	found, err := json.Marshal(results)
	if err != nil {
		return err
	}
	now := n.Now().UTC()
	err = n.DB.Control().UpsertDoctorNode(ctx, controldb.UpsertDoctorNodeParams{ProcessID: n.ID, Address: n.Where, LookedAt: now, Facts: facts, Results: found})
	if err == nil {
		_, err = n.DB.Control().DeleteDoctorNodesBefore(ctx, now.Add(-nodeForget))
	}
	return err
}

func (n *Itself) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	_ = n.DB.Control().DeleteDoctorNode(ctx, n.ID) // else it goes a day later
}

// ReadNodes adds to processes that serve what they said of themselves.
func ReadNodes(ctx context.Context, d *db.DB, alive []Node, now time.Time) ([]Node, error) {
	rows, err := d.Control().ListDoctorNodes(ctx, controldb.ListDoctorNodesParams{Since: now.Add(-nodeForget).UTC(), MaxRows: maxNodes})
	if err != nil {
		return nil, fmt.Errorf("read what processes say of themselves: %w", err)
	}
	out := slices.Clone(alive)
	for i := range out {
		for _, r := range rows {
			if r.ProcessID != out[i].ID {
				continue
			}
			out[i].LookedAt = r.LookedAt
			if err := json.Unmarshal(r.Facts, &out[i].Facts); err != nil {
				return nil, fmt.Errorf("read what process %s says of itself: %w", r.Address, err)
			}
			if err := json.Unmarshal(r.Results, &out[i].Results); err != nil {
				return nil, fmt.Errorf("read what process %s says of itself: %w", r.Address, err)
			}
		}
	}
	return out, nil
}

// ReadLacking names processes that lack a master key that something is sealed under, and the key.
func ReadLacking(ctx context.Context, d *db.DB, since time.Time) (out []string, err error) {
	rows, err := d.Control().ListProcessesWithoutKey(ctx, controldb.ListProcessesWithoutKeyParams{Since: since.UTC(), MaxRows: maxNodes})
	if err != nil {
		return nil, fmt.Errorf("read which process has which key: %w", err)
	}
	for _, r := range rows {
		out = append(out, fmt.Sprintf("%s lacks key %d (fingerprint %s)", r.Address, r.KeyID, r.Fingerprint))
	}
	return out, nil
}

// nodes looks at what processes say, and passes their findings on.
func (d Deployment) nodes(ctx context.Context) (found []Finding) {
	list, err := d.Nodes(ctx)
	if err != nil {
		return one(Error, "nodes", "the list of processes cannot be read", err.Error(), "look at the database")
	}
	if len(list) == 0 {
		return one(Error, "nodes-none", "no server runs", "no process has said in the last half minute that it serves", "start one: 'locus serve', or systemctl start locus")
	}
	now := d.Now()
	versions := map[string]bool{}
	for _, n := range list {
		if silent := max(nodeSilent, 3*n.Facts.Every); now.Sub(n.LookedAt) > silent && now.Sub(n.Since) > silent {
			seen := n.Address + " serves since " + n.Since.UTC().Format(time.RFC3339)
			found = append(found, Finding{Warning, "node-silent", "a process does not say how it is", seen, "if its version is older than this one, update it; else look at its log"})
			continue
		}
		if n.Facts.Version != "" {
			versions[n.Facts.Version] = true
		}
		for _, r := range n.Results {
			for _, f := range r.Findings {
				f.Seen = n.Address + ": " + f.Seen
				found = append(found, f)
			}
			if r.NotLookedAt != "" {
				found = append(found, notLooked("%s, %s: %s", n.Address, r.Name, r.NotLookedAt)...)
			}
		}
	}
	if len(versions) > 1 {
		found = append(found, Finding{Warning, "node-versions", "processes are of different versions", strings.Join(slices.Sorted(maps.Keys(versions)), ", "), "finish the upgrade: docs/operations.md"})
	}
	if d.Lacking != nil {
		lacking, err := d.Lacking(ctx)
		if err != nil {
			found = append(found, Finding{Error, "nodes", "the keys of processes cannot be read", err.Error(), "look at the database"})
		}
		if len(lacking) > 0 {
			found = append(found, Finding{Error, "node-key", "processes lack a master key, so they cannot open what others have sealed", strings.Join(lacking, "; "), "give them the keys that the others have, and start them anew"})
		}
	}
	return append(found, d.pools(ctx, list)...)
}

// pools holds what all processes may open against what Postgres allows.
func (d Deployment) pools(ctx context.Context, list []Node) []Finding {
	f, err := d.Facts(ctx)
	if err != nil || f.MaxConnections == 0 {
		return notLooked("whether all pools fit: how many connections Postgres allows is not known") // the check of the database finds that
	}
	sum := 0
	for _, n := range list {
		sum += n.Facts.Pools[db.HomeNode]
	}
	if most := int(f.MaxConnections - f.Reserved); sum > most {
		return one(Warning, "database-pools", "processes may open more connections than Postgres allows, and then requests fail",
			fmt.Sprintf("%d processes may open %d together, and Postgres allows %d", len(list), sum, most), "raise max_connections, make the pools smaller (docs/databases.md), or put PgBouncer in between")
	}
	return nil
}

// ownClock is the clock of one machine.
func (d Deployment) ownClock(ctx context.Context) []Finding {
	before := d.Now()
	f, err := d.Facts(ctx)
	if err != nil {
		return notLooked("Postgres does not answer: %v", err)
	}
	return d.clock(f, before, d.Now())
}
