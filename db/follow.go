package db

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ErrMoved means that the tenant is being moved to another database at this moment, and nothing was done. It is an
// ErrUnavailable: the next attempt finds it.
var ErrMoved = fmt.Errorf("%w: the tenant moves to another database", ErrUnavailable)

const (
	// followTime is how long a statement that found its schema gone waits until it is known where it went.
	followTime = 10 * time.Second
	// followEvery is how often it is asked.
	followEvery = 20 * time.Millisecond
	// leftAfter is how long a source that was given up is kept where nobody said otherwise.
	leftAfter = 24 * time.Hour
)

// place is where a tenant's schema is.
type place struct {
	server *server
	pool   *pool
}

func (d *DB) placeOf(s Schema) place {
	at := d.at(s)
	return place{at, at.poolOf(s)}
}

// here is where the schema is now, as far as this process knows: a value that was opened before a move goes on being used.
func (t *Tenant) here() place {
	if t.db.moves.Load() == 0 {
		return t.home
	}
	node, ok := t.db.moved.Load(t.schema.name)
	if !ok || node.(int32) == t.home.server.node {
		return t.home
	}
	return t.db.placeOf(t.schema.On(node.(int32)))
}

// isGone tells that a schema is not, or not any more, on the server that was asked.
func isGone(err error) bool { return IsUndefined(err) || isElsewhere(err) }

// followed looks at an error of a statement that was sent to a server. If the schema is not there because it was moved, the
// caller sends it again: nothing was done. why, if not nil, stands for the error.
func (t *Tenant) followed(ctx context.Context, at *server, err error) (moved bool, why error) {
	if !isGone(err) {
		return false, err
	}
	ctx, cancel := context.WithTimeout(ctx, followTime)
	defer cancel()
	for {
		known, moving, askErr := t.follow(ctx, at)
		switch {
		case known:
			return true, err
		case askErr != nil:
			return false, errors.Join(ErrMoved, askErr, err)
		case !moving && (isElsewhere(err) || t.misplaced(ctx, at)):
			return false, fmt.Errorf("%w: %w than control says ('locus tenant move' to it puts that right): %w", ErrUnavailable, ErrNotPlaced, err)
		case !moving:
			return false, err
		}
		select {
		case <-ctx.Done():
			return false, fmt.Errorf("%w: %w", ErrMoved, err)
		case <-time.After(followEvery):
		}
	}
}

// misplaced tells whether Citus keeps the schema on another worker.
func (t *Tenant) misplaced(ctx context.Context, at *server) bool {
	if at.worker == "" {
		return false
	}
	worker, err := placedOn(ctx, runner{pool: t.db.control}, t.schema.name)
	return err == nil && worker != "" && worker != at.address()
}

// follow finds out where a schema is that is not at a server any more. A move whose process died after its decision is
// brought to its end.
func (t *Tenant) follow(ctx context.Context, at *server) (known, moving bool, err error) {
	d := t.db
	row, err := d.Control().GetTenantBySchema(ctx, t.schema.name)
	if IsNoRows(err) || IsUndefined(err) {
		return false, false, nil
	}
	if err != nil {
		return false, false, err
	}
	s := t.schema.On(row.NodeID)
	if !d.Knows(s) {
		if err := d.LearnNodes(ctx); err != nil {
			return false, false, err
		}
	}
	if row.NodeID != at.node {
		d.moved.Store(t.schema.name, row.NodeID)
		d.moves.Add(1)
		return true, false, nil
	}
	if node, ok := d.moved.Load(t.schema.name); ok && node.(int32) != row.NodeID { // it is back
		d.moved.Store(t.schema.name, row.NodeID)
	}
	move, err := d.Control().GetTenantMove(ctx, row.TenantID)
	if IsNoRows(err) {
		// Ended between the two questions, or no move at all.
		again, err := d.Control().GetTenantBySchema(ctx, t.schema.name)
		return false, err == nil && again.NodeID != row.NodeID, nil
	}
	if err != nil {
		return false, false, err
	}
	c, err := d.Carry(move.MoveID, t.schema.On(move.Source), move.Target, time.Now)
	if err != nil {
		return false, true, nil // another process can
	}
	if err := c.Finish(ctx, time.Now().Add(leftAfter)); err != nil && !errors.Is(err, ErrNotFenced) {
		return false, false, err
	}
	return false, true, nil
}
