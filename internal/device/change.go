package device

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/tenant"
)

// Rotate gives a device another session id. ok: it did; another request may have done it first.
func Rotate(ctx context.Context, q *tenantdb.Queries, d *Device, p Presented, seen Seen, now time.Time) (ok bool, err error) {
	seen = seen.bounded()
	fresh := NewSecret()
	n, err := q.UpdateDeviceSession(ctx, tenantdb.UpdateDeviceSessionParams{
		ID: d.Key, Session: hash(p.Session), Fresh: hash(fresh), Now: now, ExpiresAt: now.Add(Life), Agent: seen.Agent, Address: seen.Address,
	})
	if err != nil {
		return false, fmt.Errorf("rotate session of device: %w", err)
	}
	if n == 0 {
		return false, nil
	}
	err = q.UpdateDeviceAccountsSeen(ctx, tenantdb.UpdateDeviceAccountsSeenParams{Device: d.Key, Now: now, ExpiresAt: now.Add(Unremembered)})
	if err != nil {
		return false, fmt.Errorf("keep sign-ins of device: %w", err)
	}
	d.session, d.former, d.Seen, d.SeenAt = hash(fresh), d.session, seen, now
	d.Keep = &Presented{p.ID, fresh}
	return true, nil
}

// Forget removes a device with all its sign-ins.
func Forget(ctx context.Context, q *tenantdb.Queries, key []byte) error {
	err := q.LockDeviceAny(ctx, key)
	if err == nil {
		err = q.DeleteDevice(ctx, key)
	}
	if err != nil {
		return fmt.Errorf("forget device: %w", err)
	}
	return nil
}

// hold takes the device's row, for a step that changes who is signed in. nil: it is not known, or no more.
func hold(ctx context.Context, q *tenantdb.Queries, p Presented, now time.Time) (*Device, error) {
	if !IsSecret(p.ID) {
		return nil, nil
	}
	row, err := q.LockDevice(ctx, tenantdb.LockDeviceParams{ID: hash(p.ID), Now: now})
	if db.IsNoRows(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("hold device: %w", err)
	}
	d := of(tenantdb.GetDeviceRow(row))
	if d.judge(p.Session, now) == stolen {
		return nil, nil
	}
	return d, nil
}

// Enter signs an account in on the browser that presents p, which becomes a device if it was none. The browser has to keep
// what the device's Keep says. The caller holds the account's session epoch, and has established whose account it is.
// Errors: [ErrAccounts].
func Enter(ctx context.Context, q *tenantdb.Queries, t *tenant.Tenant, p Presented, seen Seen, aid, epoch int64, stay Stay, now time.Time) (*Device, error) {
	seen = seen.bounded()
	d, err := hold(ctx, q, p, now)
	if err != nil {
		return nil, err
	}
	if d == nil {
		d, err = begin(ctx, q, p, seen, now)
	} else {
		err = renew(ctx, q, d, p, seen, now)
	}
	if err != nil {
		return nil, err
	}
	there, err := Accounts(ctx, q, d.Key, now)
	if err != nil {
		return nil, err
	}
	others := map[int64]bool{}
	for _, a := range there {
		if a.AID != aid {
			others[a.AID] = true
		}
	}
	if len(others) >= MaxAccounts {
		return nil, ErrAccounts
	}
	err = q.UpsertDeviceAccount(ctx, tenantdb.UpsertDeviceAccountParams{
		AID: aid, Device: d.Key, Request: stay.request(), Epoch: epoch, Remembered: stay.Remember, Now: now, ExpiresAt: stay.until(t, now),
	})
	if err == nil {
		err = q.DeleteDeviceAccountsBeyond(ctx, tenantdb.DeleteDeviceAccountsBeyondParams{AID: aid, Kept: MaxDevices})
	}
	if err != nil {
		return nil, fmt.Errorf("sign account %d in on device: %w", aid, err)
	}
	return d, nil
}

// begin makes a row for a browser. It keeps the id that it has, because an authorization request may know it; unless there
// is a device of that id, which then is somebody else's.
func begin(ctx context.Context, q *tenantdb.Queries, p Presented, seen Seen, now time.Time) (*Device, error) {
	id := p.ID
	if !IsSecret(id) {
		id = NewSecret()
	} else if _, err := q.GetDevice(ctx, tenantdb.GetDeviceParams{ID: hash(id), Now: now}); err == nil {
		id = NewSecret()
	} else if !db.IsNoRows(err) {
		return nil, fmt.Errorf("look for device: %w", err)
	}
	keep := &Presented{id, NewSecret()}
	d := &Device{Key: hash(id), Seen: seen, SeenAt: now, CreatedAt: now, Keep: keep, session: hash(keep.Session)}
	err := q.UpsertDevice(ctx, tenantdb.UpsertDeviceParams{
		ID: d.Key, Session: d.session, Now: now, ExpiresAt: now.Add(Life), Agent: seen.Agent, Address: seen.Address,
	})
	if err != nil {
		return nil, fmt.Errorf("begin device: %w", err)
	}
	return d, nil
}

// renew rotates the session id of a device that is held, also by its former one.
func renew(ctx context.Context, q *tenantdb.Queries, d *Device, p Presented, seen Seen, now time.Time) error {
	keep := &Presented{p.ID, NewSecret()}
	_, err := q.UpdateDeviceSession(ctx, tenantdb.UpdateDeviceSessionParams{
		ID: d.Key, Session: d.session, Fresh: hash(keep.Session), Now: now, ExpiresAt: now.Add(Life), Agent: seen.Agent, Address: seen.Address,
	})
	if err != nil {
		return fmt.Errorf("rotate session of device: %w", err)
	}
	d.session, d.former, d.Seen, d.SeenAt, d.Keep = hash(keep.Session), d.session, seen, now, keep
	return nil
}

// Renew rotates the session id at a step that matters, whatever its age. Errors: [ErrUnknown].
func Renew(ctx context.Context, q *tenantdb.Queries, p Presented, seen Seen, now time.Time) (*Device, error) {
	d, err := hold(ctx, q, p, now)
	if err == nil && d == nil {
		err = ErrUnknown
	}
	if err != nil {
		return nil, err
	}
	return d, renew(ctx, q, d, p, seen.bounded(), now)
}

// Leave signs an account out on a device. Not being signed in is no error.
func Leave(ctx context.Context, q *tenantdb.Queries, key []byte, aid int64) error {
	if _, err := q.DeleteDeviceAccount(ctx, tenantdb.DeleteDeviceAccountParams{AID: aid, Device: key}); err != nil {
		return fmt.Errorf("sign account %d out on device: %w", aid, err)
	}
	return nil
}

// Prove writes down that the owner of a signed-in account proved to be it. Errors: [ErrUnknown].
func Prove(ctx context.Context, q *tenantdb.Queries, key []byte, aid, epoch int64, request string, now time.Time) error {
	n, err := q.UpdateDeviceAccountProven(ctx, tenantdb.UpdateDeviceAccountProvenParams{AID: aid, Device: key, Request: request, Epoch: epoch, Now: now})
	if err != nil {
		return fmt.Errorf("prove account %d on device: %w", aid, err)
	}
	if n == 0 {
		return ErrUnknown
	}
	return nil
}

// Listed is a device as its owner sees it.
type Listed struct {
	Key []byte
	Seen
	SeenAt, CreatedAt, SignedInAt time.Time
	Remembered                    bool
}

// Name says which device is meant. It opens nothing.
func (l *Listed) Name() string { return Name(l.Key) }

// ListOf lists the devices on which an account is signed in, the one that was seen last first.
func ListOf(ctx context.Context, q *tenantdb.Queries, aid int64, now time.Time) ([]Listed, error) {
	rows, err := q.ListDevicesOf(ctx, tenantdb.ListDevicesOfParams{AID: aid, Now: now, MaxRows: MaxDevices})
	if err != nil {
		return nil, fmt.Errorf("list devices of account %d: %w", aid, err)
	}
	var out []Listed
	for _, r := range rows {
		// One device may have several sign-ins: of several requests.
		if i := slices.IndexFunc(out, func(l Listed) bool { return string(l.Key) == string(r.ID) }); i >= 0 {
			out[i].Remembered = out[i].Remembered || r.Remembered
			continue
		}
		out = append(out, Listed{Key: r.ID, Seen: Seen{r.Agent, r.Address}, SeenAt: r.RotatedAt, CreatedAt: r.CreatedAt, SignedInAt: r.SignedInAt, Remembered: r.Remembered})
	}
	return out, nil
}
