package act

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/controldb"
	"github.com/auroralocus/locus/internal/archive"
)

// TenantProof is what is known of whether a tenant could be restored.
type TenantProof struct {
	TenantID  int64      `json:"tenantId"`
	Hostname  string     `json:"hostname"`
	CreatedAt time.Time  `json:"createdAt"`
	ProvedAt  *time.Time `json:"provedAt"` // null: never
	Archive   string     `json:"archive,omitempty"`
	MadeAt    *time.Time `json:"archiveMadeAt,omitempty"` // what came later is not in it
	Encrypted bool       `json:"encrypted"`
	By        string     `json:"by,omitempty"`
	FailedAt  *time.Time `json:"failedAt,omitempty"` // the last trial failed
	Problem   string     `json:"problem,omitempty"`
}

// Proofs sum up what was proved restorable, as of a moment.
type Proofs struct {
	Tenants int64     `json:"tenants"` // that are served, suspended or on their way
	Never   int64     `json:"never"`   // of them, those of which no archive was ever restored on trial
	Stale   int64     `json:"stale"`   // of them, those of which none was since
	Failing int64     `json:"failing"` // of them, those of which the last trial failed
	Since   time.Time `json:"since"`
	Oldest  time.Time `json:"oldestProof,omitzero"` // of those that were proved
	// Deployment is the last trial of a copy of the whole database with a copy of the master key; nil: there was none.
	Deployment *DeploymentProof `json:"deployment"`
	// Keys are the master keys that open something, and when a copy of each was last proved.
	Keys []KeyProof `json:"keys"`
}

// DeploymentProof is what is known of whether the database could be restored.
type DeploymentProof struct {
	ProvedAt *time.Time `json:"provedAt"` // null: never
	MadeAt   *time.Time `json:"copyMadeAt,omitempty"`
	Tenants  int        `json:"tenants"`
	Sealed   int64      `json:"sealed"` // values that were opened
	By       string     `json:"by,omitempty"`
	FailedAt *time.Time `json:"failedAt,omitempty"`
	Problem  string     `json:"problem,omitempty"`
}

// KeyProof is what is known of whether there is a good copy of a master key.
type KeyProof struct {
	ID       int        `json:"id"`
	Seals    bool       `json:"seals"`
	ProvedAt *time.Time `json:"copyProvedAt"` // null: never
	By       string     `json:"by,omitempty"`
}

// ReadProofs says what was proved restorable; stale is what was not proved since. It is for whoever looks after the
// deployment, and needs the control schema only. Errors: those of Postgres; [db.IsUndefined] tells that the schema is of
// an older version.
func ReadProofs(ctx context.Context, d *db.DB, since time.Time) (Proofs, error) {
	sum, err := d.Control().GetTenantProofs(ctx, since.UTC())
	if err != nil {
		return Proofs{}, fmt.Errorf("read proofs of tenants: %w", err)
	}
	out := Proofs{Tenants: sum.Tenants, Never: sum.Never, Stale: sum.Stale, Failing: sum.Failing, Since: since.UTC(), Keys: []KeyProof{}}
	if sum.Oldest.Unix() != 0 {
		out.Oldest = sum.Oldest.UTC()
	}
	keys, err := d.Control().ListMasterKeys(ctx)
	if err != nil {
		return Proofs{}, fmt.Errorf("read proofs of keys: %w", err)
	}
	for _, k := range keys {
		if k.State == keySeals || k.State == keyOpens {
			out.Keys = append(out.Keys, KeyProof{int(k.KeyID), k.State == keySeals, k.CopyProvedAt, k.CopyProvedBy})
		}
	}
	row, err := d.Control().GetDeploymentProof(ctx)
	if db.IsNoRows(err) {
		return out, nil
	}
	if err != nil {
		return Proofs{}, fmt.Errorf("read the deployment's proof: %w", err)
	}
	out.Deployment = &DeploymentProof{row.ProvedAt, row.MadeAt, int(row.Tenants), row.Sealed, row.ProvedBy, row.FailedAt, row.Problem}
	return out, nil
}

// MaxProofPage bounds one question.
const MaxProofPage = 500

// ListTenantProofs says of each tenant when it was last proved restorable.
func ListTenantProofs(ctx context.Context, d *db.DB) ([]TenantProof, error) {
	out := []TenantProof{}
	for after, more := int64(0), true; more; {
		var page []TenantProof
		var err error
		if page, more, err = PageTenantProofs(ctx, d, after, MaxProofPage); err != nil {
			return nil, err
		}
		if len(page) > 0 {
			after = page[len(page)-1].TenantID
		}
		out = append(out, page...)
	}
	return out, nil
}

// PageTenantProofs says it of the tenants behind a number, of at most [MaxProofPage], and whether there may be more.
func PageTenantProofs(ctx context.Context, d *db.DB, after int64, most int) (page []TenantProof, more bool, err error) {
	most = min(max(most, 1), MaxProofPage)
	rows, err := d.Control().ListTenantProofs(ctx, controldb.ListTenantProofsParams{After: after, MaxRows: int32(most)})
	if err != nil {
		return nil, false, fmt.Errorf("list proofs of tenants: %w", err)
	}
	page = make([]TenantProof, len(rows))
	for i, r := range rows {
		page[i] = TenantProof{
			TenantID: r.TenantID, Hostname: r.Hostname, CreatedAt: r.CreatedAt.UTC(), ProvedAt: r.ProvedAt, Archive: r.Archive, MadeAt: r.MadeAt,
			Encrypted: r.Encrypted, By: r.ProvedBy, FailedAt: r.FailedAt, Problem: r.Problem,
		}
	}
	return page, len(rows) == most, nil
}

// Proofs are [ReadProofs] and [PageTenantProofs] of the deployment that the backups are of.
func (b *Backups) Proofs(ctx context.Context, since time.Time, after int64, most int) (sum Proofs, page []TenantProof, more bool, err error) {
	if sum, err = ReadProofs(ctx, b.archives.db, since); err == nil {
		page, more, err = PageTenantProofs(ctx, b.archives.db, after, most)
	}
	return sum, page, more, err
}

// maxProofProblem bounds what is kept of what was wrong.
const maxProofProblem = 500

// proved notes what a trial of an archive showed of the tenant that it is of. An archive of another deployment, or of a
// tenant that is gone, shows nothing of a tenant that is here.
func (a *Archives) proved(ctx context.Context, by Operator, r Restore, out Drilled, failed error) error {
	if failed != nil && !errors.Is(failed, archive.ErrDamaged) && !errors.Is(failed, archive.ErrSealed) {
		return nil // the trial did not come to its end
	}
	is, now := out.Header.Tenant, a.now().UTC()
	var err error
	if failed == nil && out.OK() {
		_, err = a.db.Control().UpsertTenantProved(ctx, controldb.UpsertTenantProvedParams{
			SchemaName: is.SchemaName, CreatedAt: is.CreatedAt.UTC(), ProvedAt: now, Archive: r.Name, MadeAt: out.Header.MadeAt.UTC(),
			Encrypted: len(out.Header.Keys) > 0, ProvedBy: by.Name,
		})
	} else {
		_, err = a.db.Control().UpsertTenantNotProved(ctx, controldb.UpsertTenantNotProvedParams{
			SchemaName: is.SchemaName, CreatedAt: is.CreatedAt.UTC(), FailedAt: now, Problem: firstProblem(out, failed),
		})
	}
	if err != nil {
		return fmt.Errorf("note the proof of %s: %w", is.Hostname, err)
	}
	return nil
}

func firstProblem(out Drilled, failed error) string {
	text := ""
	switch {
	case failed != nil:
		text = failed.Error()
	case len(out.Problems) > 0:
		text = out.Problems[0]
	}
	return text[:min(len(text), maxProofProblem)]
}
