package act

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/controldb"
	"github.com/auroralocus/locus/internal/process"
	"github.com/auroralocus/locus/internal/tenant"
)

// KeyState is one master key of the deployment.
type KeyState struct {
	ID           int        `json:"id"`
	Fingerprint  string     `json:"fingerprint"`
	State        string     `json:"state"` // announced, seals, opens, refused, or given: it is here and the deployment has not heard of it
	Since        time.Time  `json:"since,omitzero"`
	Values       int64      `json:"values"` // that are sealed under it
	Here         bool       `json:"here"`   // this process has it
	CopyProvedAt *time.Time `json:"copyProvedAt"`
	CopyProvedBy string     `json:"copyProvedBy,omitempty"`
}

// KeyProcess is a process that serves, as far as master keys go.
type KeyProcess struct {
	Address string `json:"address"`
	Version string `json:"version"`
	Says    bool   `json:"says"`    // false: it is of a version that says nothing of its keys
	Lacks   []int  `json:"lacks"`   // keys of the deployment that it has not, those that are refused aside
	Follows bool   `json:"follows"` // it goes by the list as it is now
}

// KeyStatus is which master keys there are, and where each is used.
type KeyStatus struct {
	Keys      []KeyState    `json:"keys"`
	Unknown   map[int]int64 `json:"unknown,omitempty"` // values under keys that are in no list
	Counted   bool          `json:"counted"`
	Tenants   int           `json:"tenants"`    // that were counted
	Left      int64         `json:"leftBehind"` // copies that moved tenants left behind: not counted
	Processes []KeyProcess  `json:"processes"`
	// Secrets are the tenants whose token secrets are the oldest, those first: at most [MaxSecretAges]. They are read where
	// values are counted.
	Secrets []TenantSecrets `json:"tokenSecrets"`
}

// TenantSecrets says since when a tenant signs session tokens with the secret that it has now.
type TenantSecrets struct {
	TenantID int64     `json:"tenantId"`
	Hostname string    `json:"hostname"`
	Since    time.Time `json:"since"`
}

// MaxSecretAges bounds the tenants that [KeyStatus] names.
const MaxSecretAges = 100

// SecretsSince is when the secret was made that a tenant signs session tokens with. db.IsNoRows tells of an error that there
// is none yet.
func SecretsSince(ctx context.Context, d *db.DB, s db.Schema) (time.Time, error) {
	at, err := d.Tenant(s).Q().GetSecretCreatedAt(ctx, tenant.SecretJWT)
	return at.UTC(), err
}

var keyStates = map[int16]string{keyAnnounced: "announced", keySeals: "seals", keyOpens: "opens", keyRefused: "refused"}

// Status says which master keys there are, which processes have them, and, with count, how much is sealed under each.
func (k *MasterKeys) Status(ctx context.Context, count bool, progress func(step string, done, total int64)) (out KeyStatus, err error) {
	if _, err := k.Adopt(ctx, true); err != nil {
		return out, err
	}
	out.Keys, out.Processes, out.Secrets = []KeyState{}, []KeyProcess{}, []TenantSecrets{}
	rows, err := k.db.Control().ListMasterKeys(ctx)
	if err != nil {
		return out, fmt.Errorf("read which master keys there are: %w", err)
	}
	values := sealedKeys{}
	if out.Counted = count; count {
		values, out.Tenants, err = countSealed(ctx, k.db, func(row controldb.Tenant, s db.Schema, done int, total int64) error {
			progress("counting what is sealed", int64(done), total)
			return out.age(ctx, k.db, row, s)
		})
		if err != nil {
			return out, err
		}
	}
	if out.Left, err = k.db.Control().CountLeftovers(ctx); err != nil {
		return out, fmt.Errorf("count copies that were left behind: %w", err)
	}
	here := k.keys.Keys()
	newest := int64(-1)
	for _, row := range rows {
		newest = max(newest, row.Revision)
		is := KeyState{
			ID: int(row.KeyID), Fingerprint: row.Fingerprint, State: keyStates[row.State], Since: row.AddedAt.UTC(), Values: values[int(row.KeyID)],
			CopyProvedAt: row.CopyProvedAt, CopyProvedBy: row.CopyProvedBy,
		}
		switch {
		case row.State == keyRefused && row.RefusedAt != nil:
			is.Since = row.RefusedAt.UTC()
		case row.State >= keySeals && row.SealsSince != nil:
			is.Since = row.SealsSince.UTC()
		}
		for i, key := range here {
			if int(key.ID) == is.ID {
				is.Here = true
				here = slices.Delete(slices.Clone(here), i, i+1)
				break
			}
		}
		delete(values, is.ID)
		out.Keys = append(out.Keys, is)
	}
	for _, key := range here {
		out.Keys = append(out.Keys, KeyState{ID: int(key.ID), Fingerprint: key.Fingerprint, State: "given", Values: values[int(key.ID)], Here: true})
		delete(values, int(key.ID))
	}
	if len(values) > 0 {
		out.Unknown = values
	}
	all, err := process.Alive(ctx, k.db, k.now())
	if err != nil {
		return out, err
	}
	for _, p := range all {
		is := KeyProcess{Address: p.Address, Version: p.Version, Says: p.Keys != nil, Lacks: []int{}, Follows: p.KeyRevision != nil && *p.KeyRevision >= newest}
		for _, row := range rows {
			if row.State != keyRefused && !slices.Contains(p.Keys, row.Fingerprint) {
				is.Lacks = append(is.Lacks, int(row.KeyID))
			}
		}
		out.Processes = append(out.Processes, is)
	}
	return out, nil
}

// age notes how old a tenant's token secrets are, if they are among the oldest.
func (out *KeyStatus) age(ctx context.Context, d *db.DB, row controldb.Tenant, s db.Schema) error {
	since, err := SecretsSince(ctx, d, s)
	if db.IsNoRows(err) || db.IsUndefined(err) { // it is being made, or it went
		return nil
	}
	if err != nil {
		return fmt.Errorf("read how old the secrets of %s are: %w", row.Hostname, err)
	}
	at, _ := slices.BinarySearchFunc(out.Secrets, since, func(t TenantSecrets, since time.Time) int {
		if c := t.Since.Compare(since); c != 0 {
			return c
		}
		return -1 // behind those of the same age
	})
	if at < MaxSecretAges {
		out.Secrets = slices.Insert(out.Secrets, at, TenantSecrets{row.TenantID, row.Hostname, since})
		out.Secrets = out.Secrets[:min(len(out.Secrets), MaxSecretAges)]
	}
	return nil
}

// countSealed adds up what is sealed under each key, everywhere.
func countSealed(ctx context.Context, d *db.DB, each func(row controldb.Tenant, s db.Schema, done int, total int64) error) (out sealedKeys, tenants int, err error) {
	if out, err = sealedOfControl(ctx, d); err != nil {
		return nil, 0, err
	}
	err = eachTenant(ctx, d, func(row controldb.Tenant, s db.Schema, done int, total int64) error {
		if err := each(row, s, done, total); err != nil {
			return err
		}
		of, err := sealedOf(ctx, d, s)
		out.add(of)
		tenants = done + 1
		return err
	})
	return out, tenants, err
}

// eachTenant goes through all tenants that a database names, whatever their state.
func eachTenant(ctx context.Context, d *db.DB, do func(row controldb.Tenant, s db.Schema, done int, total int64) error) error {
	if err := d.LearnNodes(ctx); err != nil {
		return err
	}
	total, err := d.Control().CountTenants(ctx)
	if err != nil {
		return fmt.Errorf("count tenants: %w", err)
	}
	for after, done := int64(-1), 0; ; {
		page, err := d.Control().ListTenants(ctx, controldb.ListTenantsParams{After: after, MaxRows: MaxProofPage})
		if err != nil {
			return fmt.Errorf("list tenants: %w", err)
		}
		for _, t := range page {
			after = t.TenantID
			s, err := db.ParseSchema(t.SchemaName)
			if err == nil {
				err = do(t, s.On(t.NodeID), done, total)
			}
			if err != nil {
				return err
			}
			done++
		}
		if len(page) < MaxProofPage {
			return nil
		}
	}
}
