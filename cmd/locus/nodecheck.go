package main

import (
	"context"
	"log/slog"

	"github.com/auroralocus/locus/db"
)

// checkNodes learns which databases there are, and tells the log which of them this process cannot use: their tenants are
// answered with 503, all others are served.
func checkNodes(ctx context.Context, d *db.DB, log *slog.Logger) error {
	if err := d.LearnNodes(ctx); err != nil {
		return err
	}
	const most = 1000
	nodes, err := d.Control().ListNodes(ctx, most)
	if err != nil {
		return err
	}
	counts, err := d.Control().ListNodeCounts(ctx, most)
	if err != nil {
		return err
	}
	tenants := map[int32]int64{}
	for _, c := range counts {
		tenants[c.NodeID] = c.Tenants
	}
	for _, n := range nodes {
		if n.NodeID == db.HomeNode || tenants[n.NodeID] == 0 {
			continue
		}
		asked, cancel := context.WithTimeout(ctx, nodeTime)
		err := d.PingNode(asked, n.NodeID)
		cancel()
		if err != nil {
			log.Error("a database cannot be used; its tenants are not served by this process, all others are", "node", n.DSNRef, "tenants", tenants[n.NodeID], "err", explainNode(err))
		}
	}
	return ctx.Err()
}
