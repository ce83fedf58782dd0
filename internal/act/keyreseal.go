package act

import (
	"context"
	"fmt"
	"time"

	"github.com/auroralocus/locus/db/controldb"
	"github.com/auroralocus/locus/internal/tenant"
)

// reseal goes through control and all tenants once.
func (w *rotation) reseal(ctx context.Context) error {
	before := w.out.Resealed
	told := func(n int64) { w.out.Resealed = before + n }
	if err := w.resealer(told).control(ctx); err != nil {
		return err
	}
	tenants, err := w.tenants.List(ctx)
	if err != nil {
		return err
	}
	for i, t := range tenants {
		w.run.Progress(fmt.Sprintf("sealing under key %d: %s", w.args.To, t.Hostname), int64(i), int64(len(tenants)))
		if err := w.resealTenant(ctx, t); err != nil {
			return err
		}
		if w.out.Tenants = i + 1; i%100 == 99 {
			if err := w.run.Save(ctx, w.out); err != nil {
				return err
			}
		}
	}
	return w.run.Save(ctx, w.out)
}

func (w *rotation) resealer(told func(int64)) *resealer {
	return reseal(w.db, w.keys, func(v value, err error) {
		if w.lost++; len(w.stuck) < maxStuck {
			w.stuck = append(w.stuck, v.at+": "+err.Error())
		}
	}, told)
}

// resealTenant does one tenant, in whatever state it is. One that moves is done later.
func (w *rotation) resealTenant(ctx context.Context, t *tenant.Tenant) error {
	if moves, err := w.moving(ctx, t); err != nil || moves {
		return err
	}
	if t.State != tenant.Provisioning {
		var err error
		if t, err = w.tenants.Ready(ctx, t); err != nil {
			return fmt.Errorf("%s has to be brought up to date first: %w", t.Hostname, err)
		}
	}
	before := w.out.Resealed
	err := w.resealer(func(n int64) { w.out.Resealed = before + n }).tenant(ctx, t.Schema)
	if err != nil {
		return fmt.Errorf("%s: %w", t.Hostname, err)
	}
	return nil
}

// rest is what is sealed under other keys than the new one.
type rest struct {
	n       int64
	control bool
	tenants []*tenant.Tenant
}

// left counts everything, everywhere.
func (w *rotation) left(ctx context.Context, step string) (out rest, err error) {
	count := func(keys sealedKeys) (n int64) {
		for id, of := range keys {
			if id != int(w.args.To) {
				n += of
			}
		}
		return n
	}
	keys, err := sealedOfControl(ctx, w.db)
	if err != nil {
		return out, err
	}
	out.n = count(keys)
	out.control = out.n > 0
	tenants, err := w.tenants.List(ctx)
	if err != nil {
		return out, err
	}
	for i, t := range tenants {
		w.run.Progress(step, int64(i), int64(len(tenants)))
		keys, err := sealedOf(ctx, w.db, t.Schema)
		if err != nil {
			return out, err
		}
		if n := count(keys); n > 0 {
			out.n += n
			out.tenants = append(out.tenants, t)
		}
	}
	return out, nil
}

// resealRest goes through what is left until nothing is: tenants that moved, and what was sealed by the key of before
// while processes changed over.
func (w *rotation) resealRest(ctx context.Context) error {
	for round := 1; ; round++ {
		is, err := w.left(ctx, "looking for what is sealed under other keys")
		if err != nil || is.n == 0 {
			return err
		}
		rows, _, err := w.list(ctx)
		if err == nil {
			err = w.still(rows)
		}
		if err != nil {
			return err
		}
		w.stuck, w.lost = nil, 0
		var moves []string
		if is.control {
			before := w.out.Resealed
			if err := w.resealer(func(n int64) { w.out.Resealed = before + n }).control(ctx); err != nil {
				return err
			}
		}
		for _, t := range is.tenants {
			m, err := w.moving(ctx, t)
			if err == nil {
				err = w.resealTenant(ctx, t)
			}
			if err != nil {
				return err
			}
			if m {
				moves = append(moves, t.Hostname)
			}
		}
		switch {
		case len(moves) > 0: // it ends some time
			w.run.Progress("waiting for tenants that are being moved: "+several(moves), 0, 0)
			round--
		case w.lost > 0 && w.lost == is.n:
			return w.damaged()
		case round >= resealRounds:
			return fmt.Errorf("%w: %d values were sealed under other keys again and again: is a process of another version, or with other keys, at work? 'locus key status' tells more", ErrNotResealed, is.n)
		}
		if err := sleep(ctx, keyLook/10); err != nil {
			return err
		}
	}
}

// damaged is for what does not open: it did not before, either.
func (w *rotation) damaged() error {
	w.out.Damaged = w.stuck
	if w.args.Leave {
		return nil
	}
	return fmt.Errorf("%w: %d values do not open, such as %s. The new key seals and the old one still opens. Mend them from a backup, or start again with --leave-damaged: they are lost then as they are now", ErrNotResealed, w.lost, w.stuck[0])
}

// refuse ends the keys of before.
func (w *rotation) refuse(ctx context.Context) error {
	rows, _, err := w.list(ctx)
	if err != nil {
		return err
	}
	var old []controldb.MasterKey
	for _, row := range rows {
		switch row.State {
		case keyOpens:
			old = append(old, row)
		case keyRefused:
			w.note(row.KeyID, row.RefusedAt)
		}
	}
	if len(old) == 0 {
		return w.obey(ctx)
	}
	err = w.change(ctx, actKeyRefuse, func(q *controldb.Queries, revision int64, now time.Time) error {
		all, err := q.ListMasterKeys(ctx) // as it is under the lock
		if err == nil {
			err = w.still(all)
		}
		if err != nil {
			return err
		}
		for _, row := range old {
			if _, err := q.UpdateMasterKeyState(ctx, controldb.UpdateMasterKeyStateParams{KeyID: row.KeyID, Was: keyOpens, State: keyRefused, Revision: revision, Now: now}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, row := range old {
		w.out.Refused = append(w.out.Refused, int(row.KeyID))
	}
	return w.obey(ctx)
}

// note adds a key that an attempt before this one refused.
func (w *rotation) note(id int16, at *time.Time) {
	if at != nil && !at.Before(w.run.Job.CreatedAt) {
		w.out.Refused = append(w.out.Refused, int(id))
	}
}

// last looks once more: what somebody sealed by the old key at the last moment is resealed, too.
func (w *rotation) last(ctx context.Context) error {
	if w.args.Leave && len(w.out.Damaged) > 0 {
		return nil
	}
	return w.resealRest(ctx)
}
