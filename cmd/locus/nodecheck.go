package main

import (
	"context"
	"log/slog"
	"time"

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

// lateEvery is how often it is asked whether tenants are behind whose database was away at the start: one short query.
const lateEvery = 30 * time.Second

// migrateLate brings tenants up to date whose database could not be asked before.
func migrateLate(ctx context.Context, d *db.DB, log *slog.Logger) {
	tick := time.NewTicker(lateEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		version, err := db.LatestTenantVersion()
		if err != nil {
			return // embedded, and the tests read them: cannot happen
		}
		behind, err := d.Control().CountTenantsBehind(ctx, version)
		if err != nil || behind == 0 {
			continue
		}
		if err := d.MigrateTenants(ctx, 0, nil); err != nil && ctx.Err() == nil && !db.IsUnavailable(err) {
			log.Error("migrate tenants", "err", err)
		}
	}
}
