package main

import (
	"context"
	"log/slog"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/internal/tenant"
)

// checkNodes learns which databases there are, and tells the log which of them this process cannot use: their tenants are
// answered with 503, all others are served.
func checkNodes(ctx context.Context, d *db.DB, log *slog.Logger) error {
	nodes, err := tenant.Nodes(ctx, d)
	if err != nil {
		return err
	}
	for _, n := range nodes {
		if n.ID == db.HomeNode || n.Tenants == 0 {
			continue
		}
		asked, cancel := context.WithTimeout(ctx, nodeTime)
		err := d.PingNode(asked, n.ID)
		cancel()
		if err != nil {
			log.Error("a database cannot be used; its tenants are not served by this process, all others are", "node", n.Name, "tenants", n.Tenants, "err", explainNode(err))
		}
	}
	return ctx.Err()
}
