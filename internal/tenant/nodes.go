package tenant

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/controldb"
)

// HomeName is what the control schema's own database is called where names of nodes are asked for.
const HomeName = "home"

// maxNodes bounds the databases of a deployment.
const maxNodes = 1000

var (
	// ErrNodeNotFound: no node has that name.
	ErrNodeNotFound = errors.New("no such node")
	// ErrNodeInUse refuses to remove a node that still has tenants, or copies of them.
	ErrNodeInUse = errors.New("the node is in use")
)

// Node is a Postgres that tenants' schemas lie in.
type Node struct {
	ID         int32
	Name       string
	AcceptsNew bool   // new tenants may go there
	Worker     string // of a Citus cluster: host:port in its catalogue
	Tenants    int64
	Leftovers  int64 // copies that moved tenants left behind, and that are not dropped yet
	Moves      int64 // from and to it, that are on their way
	Known      bool  // this process was told how to reach it
	label      string
}

func nodeOf(row controldb.Node) Node {
	n := Node{ID: row.NodeID, Name: row.DSNRef, AcceptsNew: row.AcceptsNew, Worker: row.Worker, label: row.Label}
	if n.ID == db.HomeNode {
		n.Name = HomeName
	}
	return n
}

// Nodes gives all nodes, the control schema's own first.
func (r *Registry) Nodes(ctx context.Context) ([]Node, error) { return Nodes(ctx, r.db) }

// Nodes gives all nodes of a database, the control schema's own first.
func Nodes(ctx context.Context, d *db.DB) ([]Node, error) {
	if err := d.LearnNodes(ctx); err != nil {
		return nil, err
	}
	rows, err := d.Control().ListNodes(ctx, maxNodes)
	if err != nil {
		return nil, fmt.Errorf("list nodes: %w", err)
	}
	counts, err := d.Control().ListNodeCounts(ctx, maxNodes)
	if err != nil {
		return nil, fmt.Errorf("count tenants of nodes: %w", err)
	}
	by := map[int32]controldb.ListNodeCountsRow{}
	for _, c := range counts {
		by[c.NodeID] = c
	}
	out := make([]Node, len(rows))
	for i, row := range rows {
		n := nodeOf(row)
		c := by[n.ID]
		n.Tenants, n.Leftovers, n.Moves = c.Tenants, c.Leftovers, c.Moves
		n.Known = d.Knows(db.Schema{}.On(n.ID))
		out[i] = n
	}
	return out, nil
}

// Node gives the node of a name. Errors: [ErrNodeNotFound].
func (r *Registry) Node(ctx context.Context, name string) (Node, error) {
	all, err := r.Nodes(ctx)
	if err != nil {
		return Node{}, err
	}
	for _, n := range all {
		if n.Name == name {
			return n, nil
		}
	}
	return Node{}, fmt.Errorf("%w: %.80q", ErrNodeNotFound, name)
}

// AddNode makes a database, whose URL this process has under the name, a node. It may be called again. Errors:
// [db.ErrNoNode], [db.ErrNodeTaken], [db.ErrServer].
func (r *Registry) AddNode(ctx context.Context, name string, acceptsNew bool, worker string) (Node, error) {
	if err := db.CheckNodeName(name); err != nil {
		return Node{}, err
	}
	if name == HomeName {
		return Node{}, fmt.Errorf("%w: %q is the control schema's own database", db.ErrNodeTaken, name)
	}
	label := ""
	var err error
	if worker == "" {
		label, err = r.db.LabelNode(ctx, name)
	} else {
		label, err = r.db.LabelWorker(ctx, name, worker)
	}
	if err != nil {
		return Node{}, err
	}
	err = r.db.ControlTx(ctx, func(q *controldb.Queries) error {
		all, err := q.ListNodes(ctx, maxNodes)
		if err != nil {
			return err
		}
		for _, n := range all {
			switch {
			case n.DSNRef == name && n.Label == label && n.Worker == worker:
				return nil // added already
			case n.DSNRef == name && n.Label == label && worker != "" && n.Worker != "":
				return r.moveWorker(ctx, q, n, worker)
			case n.DSNRef == name:
				return fmt.Errorf("%w: there is a node %s, which has another database", db.ErrNodeTaken, name)
			case worker == "" && n.Label == label, worker != "" && n.Worker == worker:
				return fmt.Errorf("%w: it is node %s already", db.ErrNodeTaken, n.DSNRef)
			}
		}
		if len(all) >= maxNodes {
			return fmt.Errorf("%w: a deployment has at most %d nodes", db.ErrNodeTaken, maxNodes)
		}
		if worker != "" && !slices.ContainsFunc(all, func(n controldb.Node) bool { return n.Worker != "" }) {
			// With the first worker the coordinator is left to what is everybody's.
			if _, err := q.UpdateNodeAcceptsNew(ctx, controldb.UpdateNodeAcceptsNewParams{NodeID: db.HomeNode, AcceptsNew: false}); err != nil {
				return err
			}
		}
		_, err = q.InsertNextNode(ctx, controldb.InsertNextNodeParams{DSNRef: name, AcceptsNew: acceptsNew, Label: label, Worker: worker})
		return err
	})
	if err != nil {
		return Node{}, fmt.Errorf("add node %s: %w", name, err)
	}
	return r.Node(ctx, name)
}

// moveWorker notes that a worker is known to its cluster by another address: its standby took over, or its machine was
// renamed. The cluster has to have been told: the old address is in its catalogue no more.
func (r *Registry) moveWorker(ctx context.Context, q *controldb.Queries, n controldb.Node, worker string) error {
	there, err := r.db.HasWorker(ctx, n.Worker)
	if err != nil {
		return err
	}
	if there {
		return fmt.Errorf("%w: %s is %s, which is in the cluster's catalogue still (SELECT citus_update_node gives a worker another address)", db.ErrNodeTaken, n.DSNRef, n.Worker)
	}
	_, err = q.UpdateNodeWorker(ctx, controldb.UpdateNodeWorkerParams{NodeID: n.NodeID, WasAt: n.Worker, NowAt: worker})
	return err
}

// SetNode says whether new tenants may go to a node. Errors: [ErrNodeNotFound].
func (r *Registry) SetNode(ctx context.Context, name string, acceptsNew bool) (Node, error) {
	n, err := r.Node(ctx, name)
	if err != nil {
		return n, err
	}
	if _, err := r.db.Control().UpdateNodeAcceptsNew(ctx, controldb.UpdateNodeAcceptsNewParams{NodeID: n.ID, AcceptsNew: acceptsNew}); err != nil {
		return n, fmt.Errorf("set node %s: %w", name, err)
	}
	return r.Node(ctx, name)
}

// RemoveNode forgets a node that has no tenant. Errors: [ErrNodeNotFound], [ErrNodeInUse].
func (r *Registry) RemoveNode(ctx context.Context, name string) error {
	n, err := r.Node(ctx, name)
	switch {
	case err != nil:
		return err
	case n.ID == db.HomeNode:
		return fmt.Errorf("%w: it has the control schema", ErrNodeInUse)
	}
	if n.Tenants+n.Leftovers+n.Moves == 0 {
		if err := r.dropSpares(ctx, n.ID); err != nil {
			return fmt.Errorf("remove the schemas that were made ahead in %s: %w", name, err)
		}
	}
	removed, err := r.db.Control().DeleteNode(ctx, n.ID)
	if err != nil {
		return fmt.Errorf("remove node %s: %w", name, err)
	}
	if removed == 0 {
		return fmt.Errorf("%w: %s has %d tenants, and %d copies that moved tenants left behind ('locus node drain' moves tenants away, 'locus node list' shows what is left)", ErrNodeInUse, name, n.Tenants, n.Leftovers)
	}
	if n.label == "" || n.Worker != "" || !n.Known { // a worker's label is the cluster's
		return nil
	}
	return r.db.UnlabelNode(ctx, name, n.label) // so that it can be one again, also another deployment's
}
