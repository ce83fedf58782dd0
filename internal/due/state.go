package due

import (
	"context"
	"fmt"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/controldb"
)

// State is how one kind of work stands, for people: in how many tenants.
type State struct {
	Kind    Kind
	Late    int64 // due for longer than a minute, and nobody is at it
	Failing int64 // it failed when it was tried last
	Held    int64 // it is being done
}

const (
	lateAfter = time.Minute
	mostKinds = 100
)

// States reads all kinds. It reads the whole table.
func States(ctx context.Context, d *db.DB, now time.Time) ([]State, error) {
	rows, err := d.Control().ListDueStates(ctx, controldb.ListDueStatesParams{Late: now.Add(-lateAfter), Now: now, MaxRows: mostKinds})
	if err != nil {
		return nil, fmt.Errorf("how due work stands: %w", err)
	}
	out := make([]State, len(rows))
	for i, r := range rows {
		out[i] = State{Kind(r.Kind), r.Late, r.Failing, r.Held}
	}
	return out, nil
}
