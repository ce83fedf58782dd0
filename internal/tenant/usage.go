package tenant

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// Usage is what a tenant holds, by counters that move with what they count: cheap to ask of thousands of tenants.
type Usage struct {
	Accounts    int64
	Records     int64
	RecordBytes int64
	Blobs       int64 // that accounts have
	BlobBytes   int64
	Events      int64     // that its stream has had, which is the number of the last one
	LastEvent   time.Time // zero: none yet
}

// Usage reads a tenant's.
func (r *Registry) Usage(ctx context.Context, t *Tenant) (Usage, error) {
	row, err := r.db.Tenant(t.Schema).Q().GetTenantCounters(ctx)
	if err != nil {
		return Usage{}, fmt.Errorf("usage of %s: %w", t.Hostname, err)
	}
	u := Usage{Accounts: row.Accounts, Records: row.Records, RecordBytes: row.RecordBytes, Blobs: row.Blobs, BlobBytes: row.BlobBytes, Events: row.LastSeq}
	if row.LastUs > 0 {
		u.LastEvent = time.UnixMicro(row.LastUs).UTC()
	}
	return u, nil
}

// usageAtOnce is how many tenants are asked at a time.
const usageAtOnce = 4

// Usages reads those of many tenants, in any order. each is called by one goroutine at a time, also with what could not
// be read. It ends with the context only.
func (r *Registry) Usages(ctx context.Context, of []*Tenant, each func(*Tenant, Usage, error)) error {
	var mu sync.Mutex
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(usageAtOnce)
	for _, t := range of {
		group.Go(func() error {
			u, err := Usage{}, t.Usable()
			if err == nil {
				u, err = r.Usage(ctx, t)
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
			mu.Lock()
			defer mu.Unlock()
			each(t, u, err)
			return nil
		})
	}
	return group.Wait()
}
