package db

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/auroralocus/locus/db/controldb"
)

const (
	// migrationWorkers is how many tenants a process migrates at a time: DDL is bound by the disk's flushes.
	migrationWorkers = 4
	// adminConns is what one migration needs at most: the lock, goose's, and one to read the version.
	adminConns = 3
	// behindPage is how many tenants are read from the work list at a time.
	behindPage = 500
	// maxUpgradeError bounds what is kept of why a migration failed.
	maxUpgradeError = 1000
	// migrationErrors bounds the errors MigrateTenants returns: a broken migration fails for every tenant.
	migrationErrors = 20
)

// Progress is how far MigrateTenants is.
type Progress struct {
	Done, Failed int
	Away         int   // on nodes that could not be asked
	Total        int64 // behind when it began
	Tenant       int64 // the last one
	Err          error // why it failed
}

// MigrateTenants brings all tenants that control knows to be behind to this program's version, and returns when none is
// behind any more. When all are up to date it costs one query, however many there are. Many nodes may do so at once:
// they share the work. A tenant that fails does not stop the others; the errors are joined. One that is newer than this
// program is no failure: control knows its version from then on. Nor are those of a further node that cannot be asked:
// they stay behind, and the log says so.
//
// At most workers tenants are migrated at a time; 0: as many as go. progress, if not nil, is called after every tenant, one
// call at a time.
func (d *DB) MigrateTenants(ctx context.Context, workers int, progress func(Progress)) error {
	if workers <= 0 || workers > migrationWorkers {
		workers = migrationWorkers
	}
	want, err := LatestTenantVersion()
	if err != nil {
		return err
	}
	m := &migrator{db: d, want: want, workers: workers, progress: progress, failed: make(map[string]bool), away: make(map[int32]bool)}
	for round := 0; ; round++ {
		left, err := m.round(ctx)
		if err != nil {
			return errors.Join(append(m.errs, err)...)
		}
		if left == 0 {
			return errors.Join(m.errs...)
		}
		select { // the rest is in other nodes' hands
		case <-ctx.Done():
			return errors.Join(append(m.errs, ctx.Err())...)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

type migrator struct {
	db       *DB
	want     int64
	workers  int
	progress func(Progress)

	mu     sync.Mutex
	p      Progress
	failed map[string]bool // schemas not to be tried again
	away   map[int32]bool  // nodes that cannot be asked
	errs   []error
}

// round goes through the work list once, and tells how many tenants other nodes were working on.
func (m *migrator) round(ctx context.Context) (left int, err error) {
	after := int64(-1)
	for {
		page, err := m.db.Control().ListTenantsBehind(ctx, controldb.ListTenantsBehindParams{Version: m.want, After: after, MaxRows: behindPage})
		if err != nil {
			return 0, fmt.Errorf("list tenants to migrate: %w", err)
		}
		if len(page) == 0 {
			return left, nil
		}
		after = page[len(page)-1].TenantID
		if m.p.Total == 0 {
			if m.p.Total, err = m.db.Control().CountTenantsBehind(ctx, m.want); err != nil {
				return 0, fmt.Errorf("count tenants to migrate: %w", err)
			}
		}
		work := make(chan controldb.ListTenantsBehindRow)
		var wg sync.WaitGroup
		var skipped sync.Map
		for range m.workers {
			wg.Go(func() {
				for t := range work {
					if !m.one(ctx, t) {
						skipped.Store(t.SchemaName, true)
					}
				}
			})
		}
		for _, t := range page {
			if ctx.Err() == nil && !m.hasFailed(t) {
				work <- t
			}
		}
		close(work)
		wg.Wait()
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		skipped.Range(func(any, any) bool { left++; return true })
	}
}

func (m *migrator) hasFailed(t controldb.ListTenantsBehindRow) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.away[t.NodeID] && !m.failed[t.SchemaName] {
		m.failed[t.SchemaName] = true
		m.p.Away++
	}
	return m.failed[t.SchemaName]
}

// one migrates one tenant; false means that another node has it in hand.
func (m *migrator) one(ctx context.Context, t controldb.ListTenantsBehindRow) bool {
	s, err := ParseSchema(t.SchemaName)
	done := true
	if err == nil {
		done, err = m.db.migrateTenant(ctx, s.On(t.NodeID), true)
	}
	if err == nil && !done {
		return false
	}
	if errors.Is(err, ErrTooNew) {
		err = nil // nobody serves it with this program
	}
	if err != nil && ctx.Err() == nil {
		text := err.Error()
		_, noteErr := m.db.Control().UpdateTenantUpgradeError(ctx, controldb.UpdateTenantUpgradeErrorParams{UpgradeError: text[:min(len(text), maxUpgradeError)], SchemaName: t.SchemaName})
		err = errors.Join(err, noteErr)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.p.Tenant, m.p.Err = t.TenantID, err
	switch {
	case IsUnavailable(err) && t.NodeID != HomeNode:
		m.away[t.NodeID], m.failed[t.SchemaName] = true, true
		m.p.Away++
		m.db.log.Error("tenants of a database are not migrated, and not served until they are", "node", t.NodeID, "err", err)
	case err != nil:
		m.p.Failed++
		m.failed[t.SchemaName] = true
		if len(m.errs) < migrationErrors {
			m.errs = append(m.errs, err)
		}
	default:
		m.p.Done++
	}
	if m.progress != nil {
		m.progress(m.p)
	}
	return true
}
