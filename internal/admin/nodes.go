package admin

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/tenant"
)

// nodeOperations are /v1/nodes.
type nodeOperations struct {
	acts    *act.Acts
	db      *db.DB
	tenants *tenant.Registry
}

const (
	nodeTime    = 5 * time.Second // for one database to say how it is
	nodesAtOnce = 8
)

func (o nodeOperations) register(g *group) {
	support(g, get("/v1/nodes", "listNodes", "List the databases that tenants live in, how many each has, and whether it answers.").
		saying("Each database has five seconds to answer."), o.list)
	owner(g, post("/v1/nodes", "addNode", "Make a database of the configuration a node.").
		saying("The processes are told how to reach it by --database-node; here is only its name.").answering(http.StatusCreated), o.add)
	owner(g, patch("/v1/nodes/{node}", "setNode", "Say whether new tenants may go to a node."), o.set)
	owner(g, remove("/v1/nodes/{node}", "removeNode", "Forget a node that has no tenants any more."), o.remove)
}

// Node is a database that tenants live in.
type Node struct {
	ID         int32  `json:"id" doc:"Its number, as tenants have it."`
	Name       string `json:"name" doc:"Its name in the configuration of the processes."`
	AcceptsNew bool   `json:"acceptsNew" doc:"New tenants may go there."`
	Worker     string `json:"citusWorker,omitempty" doc:"Of a Citus cluster: host:port in its catalogue."`
	Tenants    int64  `json:"tenants" doc:"Tenants that live there."`
	Leftovers  int64  `json:"leftovers" doc:"Copies that moved tenants left behind, and that are not dropped yet."`
	Moves      int64  `json:"moves" doc:"Moves from and to it that are on their way."`
	Known      bool   `json:"known" doc:"The process that answers was told how to reach it."`

	Database *NodeDatabase `json:"database,omitempty" doc:"How the database is, as the process that answers finds it: of listNodes only."`
}

// NodeDatabase is how the database of a node is found.
type NodeDatabase struct {
	Answers bool   `json:"answers" doc:"It can be used."`
	Error   string `json:"error,omitempty" doc:"Why not."`
	Version string `json:"version,omitempty" doc:"Of Postgres."`
	Bytes   int64  `json:"bytes,omitempty" doc:"Of the database on disk."`
}

func nodeOf(n tenant.Node) Node {
	return Node{n.ID, n.Name, n.AcceptsNew, n.Worker, n.Tenants, n.Leftovers, n.Moves, n.Known, nil}
}

// look asks a database how it is.
func (o nodeOperations) look(ctx context.Context, node int32) *NodeDatabase {
	ctx, cancel := context.WithTimeout(ctx, nodeTime)
	defer cancel()
	s, err := o.db.LookAtNode(ctx, node)
	if err != nil {
		return &NodeDatabase{Error: err.Error()}
	}
	return &NodeDatabase{true, "", s.Version, s.Bytes}
}

type nodesOutput struct {
	Body struct {
		Nodes []Node `json:"nodes" doc:"All of them."`
	}
}

func (o nodeOperations) list(ctx context.Context, _ SupportCaller, _ *struct{}) (*nodesOutput, error) {
	all, err := o.tenants.Nodes(ctx)
	if err != nil {
		return nil, err
	}
	out := new(nodesOutput)
	out.Body.Nodes = make([]Node, len(all))
	places := make(chan struct{}, nodesAtOnce)
	var asked sync.WaitGroup
	for i, n := range all {
		out.Body.Nodes[i] = nodeOf(n)
		places <- struct{}{}
		asked.Go(func() {
			defer func() { <-places }()
			out.Body.Nodes[i].Database = o.look(ctx, n.ID)
		})
	}
	asked.Wait()
	return out, nil
}

type addNodeInput struct {
	Body struct {
		Name       string `json:"name" minLength:"1" maxLength:"80" doc:"Its name, as --database-node NAME=URL has it."`
		AcceptsNew bool   `json:"acceptsNew,omitempty" doc:"New tenants may go there."`
		Worker     string `json:"citusWorker,omitempty" maxLength:"300" doc:"It is a worker of the Citus cluster whose coordinator has the control schema: host:port in pg_dist_node."`
	}
}

type nodeOutput struct{ Body Node }

func (o nodeOperations) add(ctx context.Context, c OwnerCaller, in *addNodeInput) (*nodeOutput, error) {
	n, err := o.acts.AddNode(ctx, c.by(), in.Body.Name, in.Body.AcceptsNew, in.Body.Worker)
	if err != nil {
		return nil, err
	}
	return &nodeOutput{nodeOf(n)}, nil
}

// NodePath names a node.
type NodePath struct {
	Node string `path:"node" maxLength:"80" doc:"Name of the node."`
}

type setNodeInput struct {
	NodePath
	Body struct {
		AcceptsNew bool `json:"acceptsNew" doc:"New tenants may go there."`
	}
}

func (o nodeOperations) set(ctx context.Context, c OwnerCaller, in *setNodeInput) (*nodeOutput, error) {
	n, err := o.acts.SetNode(ctx, c.by(), in.Node, in.Body.AcceptsNew)
	if err != nil {
		return nil, err
	}
	return &nodeOutput{nodeOf(n)}, nil
}

func (o nodeOperations) remove(ctx context.Context, c OwnerCaller, in *NodePath) (*noOutput, error) {
	return nil, o.acts.RemoveNode(ctx, c.by(), in.Node)
}
