package tenant

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/controldb"
)

const (
	// sparesEvery is how often a process looks whether there are enough spares.
	sparesEvery = 30 * time.Second
	// sparesFrom is the number of tenants in a database from which on it has spares where nothing is said: below, making a
	// schema costs the others little, and takes a fraction of a second.
	sparesFrom = 200
	// tenantsPerSpare and defaultSpares are how many there are then.
	tenantsPerSpare, defaultSpares = 50, 64
	// MostSpares bounds how many a deployment may ask for in each database.
	MostSpares = 1000
	// namesPerSpare is how many schemas are named for each that is made: see [db.DB.NameSchemas].
	namesPerSpare = 64
	// onlyNamed is the version of a spare that is to be an empty schema.
	onlyNamed = -2
	// leastApart and mostApart are how far apart they are at least and at most, sparesAtOnce how many a process takes on.
	leastApart, mostApart, sparesAtOnce = time.Second, 3 * time.Minute, 8
	// sparesGivenUp is how long making spares takes at most; whoever took longer is dead.
	sparesGivenUp = 30 * time.Minute
	// sparesGiveUpTime is how long an ending process takes to say that it makes no more.
	sparesGiveUpTime = 2 * time.Second
)

// SparesApart is how far apart spares are made for each tenant that was written to within an hour. Each spare has all connections
// look whether one of the plans that they keep is of its tables, which takes a connection a quarter of a second for each
// thousand of such tenants.
const SparesApart = 20 * time.Millisecond

// SparesByTenants has the number of spares follow from the number of tenants.
const SparesByTenants = -1

// takeID takes the number of a new tenant, and a schema that was made ahead with it if there is one: version is its
// migrations then. It does not take one that is only named: tables in it have connections look through all of their plans,
// which costs more than to make them anew when many tenants come one after the other.
func (r *Registry) takeID(ctx context.Context, q *controldb.Queries, node int32, spare bool) (id, version int64, err error) {
	if spare {
		id, err = q.DeleteSpareForTenant(ctx, controldb.DeleteSpareForTenantParams{NodeID: node, Version: r.version})
		if err == nil {
			return id, r.version, nil
		}
		if !db.IsNoRows(err) {
			return 0, 0, err
		}
	}
	id, err = q.LockNextCounter(ctx, counterTenant)
	return id, 0, err
}

// RunSpares keeps schemas for tenants to come until the context ends. Processes share the work.
func (r *Registry) RunSpares(ctx context.Context) error {
	tick := time.NewTicker(sparesEvery)
	defer tick.Stop()
	failing := false
	for {
		made, err := r.KeepSpares(ctx, r.cfg.Spares, SparesApart)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && !failing && !db.IsUnavailable(err): // which db tells the log
			r.log.Warn("no schemas can be made ahead; new tenants take longer", "err", err)
		case made > 0:
			r.log.Info("made schemas ahead for new tenants", "schemas", made)
		}
		failing = err != nil
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// KeepSpares makes schemas for tenants to come, some of those that are missing, in each database that new tenants go to, and
// rests between two: apart for each tenant that is active. Whatever a maker that died left half made is made whole. It
// tells how many were made.
func (r *Registry) KeepSpares(ctx context.Context, want int, apart time.Duration) (made int, err error) {
	if want == 0 {
		return 0, nil
	}
	nodes, err := r.db.Control().ListNodesForNewTenants(ctx, controldb.ListNodesForNewTenantsParams{Known: r.db.KnownNodes(), MaxRows: maxNodes})
	if err != nil {
		return 0, fmt.Errorf("list the databases for new tenants: %w", err)
	}
	ix, err := r.loaded(ctx)
	if err != nil {
		return 0, err
	}
	var failed []error
	for _, node := range nodes {
		n, err := r.keepSparesOn(ctx, node, ix.wantedSpares(node, want), apart)
		made += n
		if err != nil && ctx.Err() == nil {
			failed = append(failed, fmt.Errorf("make schemas ahead in database %d: %w", node, err))
		}
	}
	return made, errors.Join(failed...)
}

func (ix *index) wantedSpares(node int32, want int) int {
	if want != SparesByTenants {
		return want
	}
	tenants := 0
	for _, t := range ix.byID {
		if t.NodeID == node {
			tenants++
		}
	}
	if tenants < sparesFrom {
		return 0
	}
	return min(tenants/tenantsPerSpare, defaultSpares)
}

func (r *Registry) keepSparesOn(ctx context.Context, node int32, want int, apart time.Duration) (made int, err error) {
	ids, err := r.db.Control().LockSparesToMake(ctx, controldb.LockSparesToMakeParams{
		NodeID: node, Version: r.version, BegunAt: r.now().UTC(), GivenUpBefore: r.now().UTC().Add(-sparesGivenUp), MaxRows: sparesAtOnce})
	if err != nil {
		return 0, err
	}
	more, names, err := r.numberSpares(ctx, node, want)
	if err != nil {
		return 0, err
	}
	if ids = append(ids, more...); len(ids) == 0 {
		return 0, nil
	}
	if err = r.nameSpares(ctx, node, names); err == nil {
		made, err = r.makeSpares(ctx, node, ids, apart)
	}
	if err != nil {
		// The next who looks begins with these.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), sparesGiveUpTime)
		defer cancel()
		err = errors.Join(err, r.db.Control().UpdateSparesGivenUp(ctx, ids[made:]))
	}
	return made, err
}

// makeSpares tells how many it made before it failed.
func (r *Registry) makeSpares(ctx context.Context, node int32, ids []int64, apart time.Duration) (made int, err error) {
	for i, id := range ids {
		if i > 0 {
			if err := r.rest(ctx, apart); err != nil {
				return i, err
			}
		}
		if err := r.makeSpare(ctx, node, id); err != nil {
			return i, err
		}
	}
	return len(ids), nil
}

// rest waits before the next spare.
func (r *Registry) rest(ctx context.Context, apart time.Duration) error {
	if apart == 0 {
		return ctx.Err()
	}
	active, err := r.db.Control().CountTenantsWritten(ctx, r.now().UTC())
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(max(leastApart, min(time.Duration(active)*apart, mostApart))):
		return nil
	}
}

func (r *Registry) nameSpares(ctx context.Context, node int32, ids []int64) error {
	schemas := make([]db.Schema, len(ids))
	for i, id := range ids {
		var err error
		if schemas[i], err = spareSchema(id, node); err != nil {
			return err
		}
	}
	return r.db.NameSchemas(ctx, schemas)
}

func (r *Registry) makeSpare(ctx context.Context, node int32, id int64) error {
	schema, err := spareSchema(id, node)
	if err != nil {
		return err
	}
	if err := r.db.CreateSpareSchema(ctx, schema); err != nil {
		return err
	}
	return r.db.Control().UpdateSparesMade(ctx, controldb.UpdateSparesMadeParams{Version: r.version, TenantIds: []int64{id}})
}

// numberSpares gives as many numbers as spares are missing, and writes down that they are being made. Of processes that look at
// once one gets them: the counter's row is locked before they are counted. They are those of schemas that are named already;
// when these are used up, names are those to be named next, with those that are to be made now.
func (r *Registry) numberSpares(ctx context.Context, node int32, want int) (ids, names []int64, err error) {
	count := controldb.CountSparesParams{NodeID: node, Version: r.version}
	if there, err := r.db.Control().CountSpares(ctx, count); err != nil || int(there) >= want {
		return nil, nil, err
	}
	err = r.db.ControlTx(ctx, func(q *controldb.Queries) error {
		ids, names = nil, nil
		if _, err := q.LockNextCounters(ctx, controldb.LockNextCountersParams{Name: counterTenant, Many: 0}); err != nil {
			return err
		}
		there, err := q.CountSpares(ctx, count)
		if err != nil || int(there) >= want {
			return err
		}
		// One process makes spares of a database at a time, or they would not be apart.
		if begun, err := q.CountSparesBegun(ctx, node); err != nil || begun > 0 {
			return err
		}
		missing := min(want-int(there), sparesAtOnce)
		begun := r.now().UTC()
		ids, err = q.LockSparesNamed(ctx, controldb.LockSparesNamedParams{NodeID: node, BegunAt: begun, MaxRows: int32(missing)})
		slices.Sort(ids)
		if missing -= len(ids); err != nil || missing == 0 {
			return err
		}
		many := int64(missing) * namesPerSpare
		last, err := q.LockNextCounters(ctx, controldb.LockNextCountersParams{Name: counterTenant, Many: many})
		if err != nil {
			return err
		}
		for id := last - many + 1; id <= last; id++ {
			names = append(names, id)
		}
		ids = append(ids, names[:missing]...)
		err = q.InsertSpares(ctx, controldb.InsertSparesParams{NodeID: node, Version: 0, BegunAt: begun, TenantIds: names[:missing]})
		if err != nil {
			return err
		}
		return q.InsertSpares(ctx, controldb.InsertSparesParams{NodeID: node, Version: onlyNamed, BegunAt: begun, TenantIds: names[missing:]})
	})
	return ids, names, err
}

// dropSpares removes the spares of a database that is to be a node no longer.
func (r *Registry) dropSpares(ctx context.Context, node int32) error {
	known := r.db.Knows(db.Schema{}.On(node)) // one that is lost for good is forgotten with what is in it
	for {
		ids, err := r.db.Control().LockSparesToDrop(ctx, controldb.LockSparesToDropParams{NodeID: node, MaxRows: MostSpares})
		if err != nil || len(ids) == 0 {
			return err
		}
		for _, id := range ids {
			schema, err := spareSchema(id, node)
			if err != nil {
				return err
			}
			if known {
				if err := r.db.DropTenantSchema(ctx, schema); err != nil {
					return err
				}
			}
			if err := r.db.Control().DeleteSpare(ctx, id); err != nil {
				return err
			}
		}
	}
}

func spareSchema(id int64, node int32) (db.Schema, error) {
	s, err := db.ParseSchema(schemaName(id))
	return s.On(node), err
}

func schemaName(id int64) string { return "t_" + strconv.FormatInt(id, 10) }
