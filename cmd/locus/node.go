package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"text/tabwriter"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/tenant"
)

type nodeCmd struct {
	Add    nodeAddCmd    `cmd:"" help:"Make a Postgres whose URL --database-node gives a database for tenants. It gets a label, so that a URL that leads elsewhere is refused later."`
	List   nodeListCmd   `cmd:"" help:"List the databases, how many tenants each has, and whether it answers."`
	Set    nodeSetCmd    `cmd:"" help:"Say whether new tenants may go to a database."`
	Drain  nodeDrainCmd  `cmd:"" help:"Move all tenants of a database to others, one after the other, and let no new ones come. Ended at any time, the same command goes on."`
	Remove nodeRemoveCmd `cmd:"" help:"Forget a database that has no tenants any more."`
}

type nodeAddCmd struct {
	tenantFlags
	Name       string `arg:"" help:"Name of the database, as --database-node NAME=URL has it."`
	AcceptsNew bool   `help:"New tenants may go there; --no-accepts-new only takes those that are moved." default:"true" negatable:""`
	Worker     string `name:"citus-worker" placeholder:"HOST:PORT" help:"The database is a worker of the Citus cluster whose coordinator is --database-url, by its name and port in pg_dist_node."`
}

func (c *nodeAddCmd) Run(ctx context.Context, log *slog.Logger) error {
	r, d, stop, err := c.registry(ctx, log)
	if err != nil {
		return err
	}
	defer stop()
	n, err := act.NewTenantActs(d, r, time.Now).AddNode(ctx, byCommand(), c.Name, c.AcceptsNew, c.Worker)
	if err != nil {
		return explainNode(err)
	}
	return printNodes(ctx, os.Stdout, d, []tenant.Node{n}, c.JSON)
}

type nodeListCmd struct{ tenantFlags }

func (c *nodeListCmd) Run(ctx context.Context, log *slog.Logger) error {
	r, d, stop, err := c.registry(ctx, log)
	if err != nil {
		return err
	}
	defer stop()
	all, err := r.Nodes(ctx)
	if err != nil {
		return err
	}
	return printNodes(ctx, os.Stdout, d, all, c.JSON)
}

type nodeSetCmd struct {
	tenantFlags
	Name       string `arg:"" help:"Name of the database."`
	AcceptsNew string `arg:"" name:"accepts-new" enum:"accepts_new=on,accepts_new=off" help:"accepts_new=on or accepts_new=off."`
}

func (c *nodeSetCmd) Run(ctx context.Context, log *slog.Logger) error {
	r, d, stop, err := c.registry(ctx, log)
	if err != nil {
		return err
	}
	defer stop()
	n, err := act.NewTenantActs(d, r, time.Now).SetNode(ctx, byCommand(), c.Name, c.AcceptsNew == "accepts_new=on")
	if err != nil {
		return explainNode(err)
	}
	return printNodes(ctx, os.Stdout, d, []tenant.Node{n}, c.JSON)
}

type nodeRemoveCmd struct {
	tenantFlags
	Name string `arg:"" help:"Name of the database."`
}

func (c *nodeRemoveCmd) Run(ctx context.Context, log *slog.Logger) error {
	r, d, stop, err := c.registry(ctx, log)
	if err != nil {
		return err
	}
	defer stop()
	if err := act.NewTenantActs(d, r, time.Now).RemoveNode(ctx, byCommand(), c.Name); err != nil {
		return explainNode(err)
	}
	if c.JSON {
		return printJSON(os.Stdout, map[string]string{"removed": c.Name})
	}
	fmt.Printf("node %s is removed\n", c.Name)
	return nil
}

// explainNode adds what to do next.
func explainNode(err error) error {
	switch {
	case errors.Is(err, tenant.ErrNodeNotFound):
		return fmt.Errorf("%w: 'locus node list' shows all", err)
	case errors.Is(err, db.ErrNoNode):
		return fmt.Errorf("%w (--database-node NAME=URL or LOCUS_DATABASE_NODES gives it)", err)
	}
	return err
}

// nodeJSON is the form that scripts read.
type nodeJSON struct {
	ID         int32  `json:"id"`
	Name       string `json:"name"`
	AcceptsNew bool   `json:"acceptsNew"`
	Worker     string `json:"citusWorker,omitempty"`
	Tenants    int64  `json:"tenants"`
	Leftovers  int64  `json:"leftovers"`
	Moves      int64  `json:"moves"`
	Known      bool   `json:"known"`
	Answers    bool   `json:"answers"`
	Error      string `json:"error,omitempty"`
	Where      string `json:"where,omitempty"`
	Version    string `json:"version,omitempty"`
	Bytes      int64  `json:"bytes,omitempty"`
	// Replicas are those that --database-replica gives.
	Replicas []replicaJSON `json:"replicas,omitempty"`
}

type replicaJSON struct {
	Where  string `json:"where"`
	Usable bool   `json:"usable"`
	Why    string `json:"why,omitempty"`
	// LagMS is in how many milliseconds it had what the primary had when it was asked.
	LagMS       int64 `json:"lagMs,omitempty"`
	BehindBytes int64 `json:"behindBytes"`
}

// nodeTime bounds how long one database is asked how it is.
const nodeTime = 10 * time.Second

func nodeJSONOf(ctx context.Context, d *db.DB, n tenant.Node) nodeJSON {
	out := nodeJSON{ID: n.ID, Name: n.Name, AcceptsNew: n.AcceptsNew, Worker: n.Worker, Tenants: n.Tenants, Leftovers: n.Leftovers, Moves: n.Moves, Known: n.Known}
	ctx, cancel := context.WithTimeout(ctx, nodeTime)
	defer cancel()
	s, err := d.LookAtNode(ctx, n.ID)
	out.Answers, out.Where, out.Version, out.Bytes = err == nil, s.Where, s.Version, s.Bytes
	if err != nil {
		out.Error = explainNode(err).Error()
		return out
	}
	found, err := d.LookAtReplicas(ctx, n.ID, nodeTime/2)
	if err != nil {
		out.Error = fmt.Sprintf("its replicas cannot be looked at: %v", err)
	}
	for _, r := range found {
		one := replicaJSON{Where: r.Where, Usable: r.Usable, Why: r.Why, BehindBytes: r.Behind}
		if r.Usable {
			one.LagMS = r.Age.Milliseconds()
		}
		out.Replicas = append(out.Replicas, one)
	}
	return out
}

func printNodes(ctx context.Context, out io.Writer, d *db.DB, all []tenant.Node, asJSON bool) error {
	list := make([]nodeJSON, len(all))
	for i, n := range all {
		list[i] = nodeJSONOf(ctx, d, n)
	}
	if asJSON {
		return printJSON(out, list)
	}
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "NODE\tNAME\tNEW TENANTS\tTENANTS\tLEFT BEHIND\tMOVES\tPOSTGRES\tSIZE\tDATABASE")
	for _, n := range list {
		takes, bytes, where := "no", "", n.Where
		if n.AcceptsNew {
			takes = "yes"
		}
		if n.Answers {
			bytes = size(n.Bytes)
		} else {
			where = n.Error
		}
		fmt.Fprintf(w, "%d\t%s\t%s\t%d\t%d\t%d\t%s\t%s\t%s\n", n.ID, n.Name, takes, n.Tenants, n.Leftovers, n.Moves, n.Version, bytes, where)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return printReplicas(out, list)
}

// printReplicas prints a table of its own, if there are any.
func printReplicas(out io.Writer, list []nodeJSON) error {
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	head := "\nREPLICA OF\tUSABLE\tLAG\tBEHIND\tDATABASE\n"
	for _, n := range list {
		for _, r := range n.Replicas {
			usable, lag, where := "yes", fmt.Sprintf("%d ms", r.LagMS), r.Where
			if !r.Usable {
				usable, lag, where = "no", "", r.Where+": "+r.Why
			}
			fmt.Fprintf(w, "%s%s\t%s\t%s\t%s\t%s\n", head, n.Name, usable, lag, size(r.BehindBytes), where)
			head = ""
		}
	}
	return w.Flush()
}
