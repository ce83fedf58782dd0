package admin

import (
	"context"
	"strconv"
	"time"

	"github.com/auroralocus/locus/internal/doctor"
)

// TenantProof is what is known of whether a tenant could be restored.
type TenantProof struct {
	TenantID  int64      `json:"tenantId" doc:"Number of the tenant."`
	Hostname  string     `json:"hostname" doc:"Its hostname."`
	CreatedAt time.Time  `json:"createdAt" doc:"When the tenant was made."`
	ProvedAt  *time.Time `json:"provedAt,omitempty" doc:"When an archive of it was last restored on trial, and nothing was missing. Left out: never."`
	Archive   string     `json:"archive,omitempty" doc:"That archive."`
	MadeAt    *time.Time `json:"archiveMadeAt,omitempty" doc:"The moment that the archive shows: what came later is not in it."`
	Encrypted bool       `json:"encrypted" doc:"That archive opens with a key only."`
	By        string     `json:"by,omitempty" doc:"Who tried it."`
	FailedAt  *time.Time `json:"failedAt,omitempty" doc:"The last trial failed, then."`
	Problem   string     `json:"problem,omitempty" doc:"What was wrong."`
}

// DatabaseProof is what is known of whether the whole database could be restored.
type DatabaseProof struct {
	ProvedAt *time.Time `json:"provedAt,omitempty" doc:"When a restored copy was last opened by a copy of the master key. Left out: never."`
	MadeAt   *time.Time `json:"copyMadeAt,omitempty" doc:"The moment that the copy shows."`
	Tenants  int        `json:"tenants" doc:"Tenants in it."`
	Sealed   int64      `json:"sealed" doc:"Sealed values that were opened."`
	By       string     `json:"by,omitempty" doc:"Who tried it."`
	FailedAt *time.Time `json:"failedAt,omitempty" doc:"The last trial failed, then."`
	Problem  string     `json:"problem,omitempty" doc:"What was wrong."`
}

// KeyProof is what is known of whether there is a good copy of a master key.
type KeyProof struct {
	ID       int        `json:"id" doc:"Number of the master key."`
	Seals    bool       `json:"seals" doc:"It is the one that seals now; others only open."`
	ProvedAt *time.Time `json:"copyProvedAt,omitempty" doc:"When a copy of it was last proved. Left out: never."`
	By       string     `json:"by,omitempty" doc:"Who did."`
}

// ProofPage selects tenants. Huma finds the defaults of exported types only.
type ProofPage struct {
	Cursor string `query:"cursor" doc:"The cursor of the page before." maxLength:"20" pattern:"^[0-9]*$"`
	Limit  int    `query:"limit" minimum:"1" maximum:"500" default:"100" doc:"How many tenants at most."`
}

type proofsOutput struct {
	Body struct {
		Count    int64          `json:"count" doc:"Tenants that are served, suspended or on their way."`
		Never    int64          `json:"never" doc:"Of them, those that were never proved restorable."`
		Stale    int64          `json:"stale" doc:"Of them, those that were proved, but not since."`
		Failing  int64          `json:"failing" doc:"Of them, those whose last trial failed."`
		Since    time.Time      `json:"since" doc:"A proof from before counts no more."`
		Database *DatabaseProof `json:"database,omitempty" doc:"The last trial of a copy of the whole database. Left out: there was none."`
		Keys     []KeyProof     `json:"keys" doc:"The master keys that open something."`
		Tenants  []TenantProof  `json:"tenants" doc:"The page."`
		Cursor   string         `json:"cursor,omitempty" doc:"There may be more: give this for the next page."`
	}
}

func (o backupOperations) proofs(ctx context.Context, _ SupportCaller, in *ProofPage) (*proofsOutput, error) {
	after, _ := strconv.ParseInt("0"+in.Cursor, 10, 64) // digits, by its pattern; too many of them are behind everything
	sum, page, more, err := o.backups.Proofs(ctx, time.Now().Add(-doctor.ProvedFor), after, in.Limit)
	if err != nil {
		return nil, err
	}
	out := new(proofsOutput)
	b := &out.Body
	b.Count, b.Never, b.Stale, b.Failing, b.Since = sum.Tenants, sum.Never, sum.Stale, sum.Failing, sum.Since
	if d := sum.Deployment; d != nil {
		is := DatabaseProof(*d)
		b.Database = &is
	}
	b.Keys = make([]KeyProof, len(sum.Keys))
	for i, k := range sum.Keys {
		b.Keys[i] = KeyProof(k)
	}
	b.Tenants = make([]TenantProof, len(page))
	for i, p := range page {
		b.Tenants[i] = TenantProof(p)
	}
	if more {
		b.Cursor = strconv.FormatInt(page[len(page)-1].TenantID, 10)
	}
	return out, nil
}
