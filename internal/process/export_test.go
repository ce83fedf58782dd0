package process

import (
	"context"

	"github.com/auroralocus/locus/db/controldb"
)

// Beat is one beat of a process whose program knows this version of the control schema.
func (s *Self) Beat(ctx context.Context, control int64) error {
	return s.beat(ctx, controldb.UpsertProcessParams{ProcessID: s.id, ControlVersion: control, StartedAt: s.since.UTC()})
}
