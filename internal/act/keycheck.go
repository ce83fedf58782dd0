package act

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/controldb"
	"github.com/auroralocus/locus/internal/keyring"
)

const actKeyCheck = "key check"

// ErrNoCopy: what was to be a copy of this deployment is something else.
var ErrNoCopy = errors.New("this is no copy of this deployment")

// KeyChecked is what a trial of a copy of the master key showed.
type KeyChecked struct {
	OK       bool      `json:"ok"`
	Keys     []int     `json:"keys"` // that the copy has, and the deployment uses
	Tenants  int       `json:"tenants"`
	Sealed   int64     `json:"sealed"`              // values that were looked at
	Wrong    int64     `json:"wrong"`               // of them, those that the copy does not open
	Problems []string  `json:"problems"`            // the first of what is wrong
	MadeAt   time.Time `json:"copyMadeAt,omitzero"` // of a copy of the database: the newest thing in it
}

func (c *KeyChecked) problem(text string) {
	if len(c.Problems) < maxStuck {
		c.Problems = append(c.Problems, text)
	}
}

// CheckCopy opens everything that the deployment has sealed by a copy of its master key alone, and notes it when the copy
// is good: [ReadProofs]. Nothing else is changed.
func (k *MasterKeys) CheckCopy(ctx context.Context, by Operator, given *keyring.Master, progress func(step string, done, total int64)) (out KeyChecked, err error) {
	out.Problems, out.Keys = []string{}, []int{}
	if _, err := k.Adopt(ctx, true); err != nil {
		return out, err
	}
	rows, err := k.db.Control().ListMasterKeys(ctx)
	if err != nil {
		return out, fmt.Errorf("read which master keys there are: %w", err)
	}
	proved := out.match(rows, given)
	err = k.open(ctx, k.db, given, &out, progress)
	if err != nil {
		return out, err
	}
	out.OK = len(out.Problems) == 0
	return out, k.logged(ctx, by, actKeyCheck, 0, deed{"", map[string]any{"ok": out.OK, "keys": out.Keys, "sealed": out.Sealed}}, func() (int64, error) {
		if !out.OK {
			return 0, nil
		}
		return 0, k.db.ControlTx(ctx, func(q *controldb.Queries) error {
			for _, key := range proved {
				_, err := q.UpdateMasterKeyProved(ctx, controldb.UpdateMasterKeyProvedParams{KeyID: int16(key.ID), Fingerprint: key.Fingerprint, Now: k.now().UTC(), By: by.Name})
				if err != nil {
					return err
				}
			}
			return nil
		})
	})
}

// match holds the keys of a copy against the deployment's.
func (c *KeyChecked) match(rows []controldb.MasterKey, given *keyring.Master) (same []keyring.Key) {
	has := map[byte]keyring.Key{}
	for _, key := range given.Keys() {
		has[key.ID] = key
	}
	for _, row := range rows {
		key, ok := has[byte(row.KeyID)]
		switch {
		case row.State == keyRefused:
		case !ok && row.State != keyAnnounced:
			c.problem(fmt.Sprintf("the copy has no key %d", row.KeyID))
		case ok && key.Fingerprint != row.Fingerprint:
			c.problem(fmt.Sprintf("the copy's key %d is another one: its fingerprint is %s, not %s", row.KeyID, key.Fingerprint, row.Fingerprint))
		case ok:
			same = append(same, key)
			c.Keys = append(c.Keys, int(row.KeyID))
		}
	}
	return same
}

// open has the given keys open everything in a database.
func (k *MasterKeys) open(ctx context.Context, d *db.DB, given *keyring.Master, out *KeyChecked, progress func(step string, done, total int64)) error {
	ring, err := keyring.New(given, 1)
	if err != nil {
		return err
	}
	look := lookThrough(d, ring, func(v value, err error) {
		out.Wrong++
		out.problem(v.at + ": " + err.Error())
	}, func(n int64) { out.Sealed = n })
	if err := look.control(ctx); err != nil {
		return err
	}
	return eachTenant(ctx, d, func(_ controldb.Tenant, s db.Schema, done int, total int64) error {
		progress("opening what is sealed", int64(done), total)
		out.Tenants = done + 1
		return look.tenant(ctx, s)
	})
}

// CheckRestored opens everything that is sealed in a restored copy of the database by a copy of the master key, looks
// whether all tenants are in it, and notes in the deployment what came of it: [ReadProofs]. The copy is only read. Errors:
// [ErrNoCopy].
func (k *MasterKeys) CheckRestored(ctx context.Context, by Operator, restored *db.DB, given *keyring.Master, progress func(step string, done, total int64)) (out KeyChecked, err error) {
	out.Problems, out.Keys = []string{}, []int{}
	made, err := restored.Control().GetNewestMoment(ctx)
	if err != nil {
		return out, fmt.Errorf("%w: %w", ErrNoCopy, err)
	}
	out.MadeAt = made.UTC()
	return out, k.logged(ctx, by, actKeyCheck, 0, deed{"restored", map[string]any{"madeAt": out.MadeAt}}, func() (int64, error) {
		// The line of the log that this act has just begun is in the deployment, and in no copy that was made before.
		here, err := restored.Control().GetNewestMoment(ctx)
		if err == nil && !here.Equal(made) {
			return 0, fmt.Errorf("%w: it is the deployment's own database, or one that is in use", ErrNoCopy)
		}
		if err == nil {
			err = k.restored(ctx, restored, given, &out, progress)
		}
		if err != nil {
			return 0, err
		}
		if out.OK = len(out.Problems) == 0; !out.OK {
			return 0, k.db.Control().UpsertDeploymentNotProved(ctx, controldb.UpsertDeploymentNotProvedParams{FailedAt: k.now().UTC(), Problem: out.Problems[0]})
		}
		return 0, k.db.Control().UpsertDeploymentProved(ctx, controldb.UpsertDeploymentProvedParams{
			ProvedAt: k.now().UTC(), MadeAt: out.MadeAt, Tenants: int32(out.Tenants), Sealed: out.Sealed, ProvedBy: by.Name,
		})
	})
}

// restored looks at a copy of the database.
func (k *MasterKeys) restored(ctx context.Context, copied *db.DB, given *keyring.Master, out *KeyChecked, progress func(step string, done, total int64)) error {
	rows, err := copied.Control().ListMasterKeys(ctx)
	if err != nil && !db.IsUndefined(err) {
		return fmt.Errorf("read which master keys the copy has: %w", err)
	}
	out.match(rows, given)
	same, err := k.sameTenants(ctx, copied, out)
	if err != nil {
		return err
	}
	if !same {
		return fmt.Errorf("%w: it has none of its tenants", ErrNoCopy)
	}
	return k.open(ctx, copied, given, out, progress)
}

// sameTenants looks whether all tenants are in the copy that were there when it was made.
func (k *MasterKeys) sameTenants(ctx context.Context, copied *db.DB, out *KeyChecked) (some bool, err error) {
	tenants, err := k.tenants.List(ctx)
	if err != nil {
		return false, err
	}
	for _, t := range tenants {
		row, err := copied.Control().GetTenant(ctx, t.ID)
		switch {
		case err == nil && row.CreatedAt.Equal(t.CreatedAt):
			some = true
		case err != nil && !db.IsNoRows(err):
			return false, fmt.Errorf("look for %s in the copy: %w", t.Hostname, err)
		case t.CreatedAt.Before(out.MadeAt):
			out.problem(t.Hostname + " is not in the copy")
		}
	}
	return some || len(tenants) == 0, nil
}
