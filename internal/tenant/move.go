package tenant

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/controldb"
)

// Move is a tenant's way to another node, which began and has not ended.
type Move struct {
	ID       string // the job's
	From, To int32
}

// BeginMove says that a tenant is on its way to another node. It may be called again. If another job has said so before,
// its move is given, and nothing is noted.
func (r *Registry) BeginMove(ctx context.Context, id int64, move string, from, to int32) (before *Move, err error) {
	_, err = r.db.Control().InsertTenantMove(ctx, controldb.InsertTenantMoveParams{TenantID: id, MoveID: move, Source: from, Target: to, StartedAt: r.now().UTC()})
	if err != nil {
		return nil, fmt.Errorf("note the move of tenant %d: %w", id, err)
	}
	row, err := r.db.Control().GetTenantMove(ctx, id)
	if db.IsNoRows(err) { // it was ended at this moment
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the move of tenant %d: %w", id, err)
	}
	if row.MoveID == move {
		return nil, nil
	}
	return &Move{row.MoveID, row.Source, row.Target}, nil
}

// EndMove says that a tenant stays where it is.
func (r *Registry) EndMove(ctx context.Context, id int64, move string) error {
	if _, err := r.db.Control().DeleteTenantMove(ctx, controldb.DeleteTenantMoveParams{TenantID: id, MoveID: move}); err != nil {
		return fmt.Errorf("end the move of tenant %d: %w", id, err)
	}
	return nil
}

// KeepLeft says how long the copy is kept that a tenant left behind on a node, and how it is called.
func (r *Registry) KeepLeft(ctx context.Context, t *Tenant, node int32, until time.Time) (name string, err error) {
	name = db.LeftBehind(t.Schema)
	err = r.db.Control().InsertLeftover(ctx, controldb.InsertLeftoverParams{NodeID: node, SchemaName: name, TenantID: t.ID, DropAt: until.UTC()})
	if err != nil {
		return "", fmt.Errorf("keep %s: %w", name, err)
	}
	return name, nil
}

// dropPage is how many copies are dropped at a time.
const dropPage = 20

// DropLeft drops the copies that are due. A node that cannot be asked keeps its own until it can.
func (r *Registry) DropLeft(ctx context.Context) error {
	rows, err := r.db.Control().ListLeftovers(ctx, controldb.ListLeftoversParams{DropAt: r.now().UTC(), MaxRows: dropPage})
	if err != nil {
		return fmt.Errorf("list copies that are left behind: %w", err)
	}
	var failed []error
	for _, row := range rows {
		s, err := db.ParseSchema(row.SchemaName)
		if err == nil {
			err = r.db.DropTenantSchema(ctx, s.On(row.NodeID))
		}
		if err == nil {
			_, err = r.db.Control().DeleteLeftover(ctx, controldb.DeleteLeftoverParams{NodeID: row.NodeID, SchemaName: row.SchemaName})
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("drop %s on node %d: %w", row.SchemaName, row.NodeID, err))
		}
	}
	return errors.Join(failed...)
}

// HastenLeft has the copies that a tenant left behind dropped at the next look, however long they were to be kept.
func (r *Registry) HastenLeft(ctx context.Context, id int64) error {
	if err := r.db.Control().UpdateLeftoversDue(ctx, controldb.UpdateLeftoversDueParams{Now: r.now().UTC(), TenantID: id}); err != nil {
		return fmt.Errorf("hasten copies of tenant %d: %w", id, err)
	}
	return nil
}

// dropEvery is how often copies are looked for whose time is over: one short query.
const dropEvery = 5 * time.Minute

// RunLeft drops such copies until the context ends.
func (r *Registry) RunLeft(ctx context.Context) error {
	tick := time.NewTicker(dropEvery)
	defer tick.Stop()
	for {
		if err := r.DropLeft(ctx); err != nil && ctx.Err() == nil && !db.IsUnavailable(err) {
			r.log.Error("copies that moved tenants left behind cannot be dropped", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
