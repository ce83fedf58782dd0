package act

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/controldb"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/job"
	"github.com/auroralocus/locus/internal/keyring"
	"github.com/auroralocus/locus/internal/process"
	"github.com/auroralocus/locus/internal/tenant"
)

// JobKeyRotate is the kind of job that puts one master key in the place of another.
const JobKeyRotate = "key rotate"

const (
	actKeyRotate = "key rotate"
	actKeySeals  = "key seals"
	actKeyRefuse = "key refuse"
)

var (
	// ErrNoNewKey: there is no key that could take the place of the one in use.
	ErrNoNewKey = errors.New("there is no other master key here")
	// ErrWhichKey: there are several.
	ErrWhichKey = errors.New("several master keys could be the next one")
	// ErrRotating: a rotation is under way already.
	ErrRotating = errors.New("a rotation of the master key is under way")
	// ErrNotKnown: processes that serve do not know the new key.
	ErrNotKnown = errors.New("not all processes know the new master key")
	// ErrNotResealed: something is still sealed under the key of before, and cannot be resealed.
	ErrNotResealed = errors.New("not everything could be sealed under the new master key")
)

const (
	// KeyWait is how long a rotation waits for processes that do not know the new key, where nobody says otherwise.
	KeyWait = 15 * time.Minute
	// keyLook is how often it looks.
	keyLook = time.Second
	// resealRounds bounds how often what is left is gone through again.
	resealRounds = 5
	// maxStuck bounds those values that are told of which do not open.
	maxStuck = 20
)

// slowToSeal are the kinds of work that read which key seals and go on for long.
var slowToSeal = []string{JobRestore, JobClone, JobMove}

// rotateArgs are what a rotation is started with.
type rotateArgs struct {
	startedBy
	Of int `json:"deploymentRole,omitempty"`

	To          int16  `json:"to"`
	Fingerprint string `json:"fingerprint"`
	WaitSeconds int64  `json:"waitSeconds"`
	Leave       bool   `json:"leaveDamaged,omitempty"`
}

func (a rotateArgs) operator() Operator {
	by := a.startedBy.operator()
	by.Deployment = auth.DeploymentRole(a.Of)
	return by
}

// KeyRotation is how a rotation is wanted.
type KeyRotation struct {
	To   int           // number of the new key; 0: the only one that could be it
	Wait time.Duration // for processes that do not know it; 0: [KeyWait]
	// Leave goes on although something that is sealed under the old key does not open: it was damaged before.
	Leave bool
}

// KeyRotated is what came of it.
type KeyRotated struct {
	Key      int      `json:"key"`
	Refused  []int    `json:"refused"`           // keys that are not used any more
	Tenants  int      `json:"tenants"`           // that were gone through
	Resealed int64    `json:"resealed"`          // values
	Damaged  []string `json:"damaged,omitempty"` // the first of those that did not open, and stay as they are
}

// StartRotation says how one master key takes the place of another. Errors: [ErrNoNewKey], [ErrWhichKey], [ErrRotating],
// [ErrKeyRefused].
func (k *MasterKeys) StartRotation(ctx context.Context, by Operator, jobs *job.Runner, want KeyRotation) (spec job.Spec, err error) {
	if _, err := k.Reload(ctx); err != nil { // one may have been added while this process runs
		return spec, fmt.Errorf("read the master keys again: %w", err)
	}
	if _, err := k.Adopt(ctx, true); err != nil {
		return spec, err
	}
	open, err := jobs.List(ctx, job.Filter{Open: true, Max: maxOpenJobs})
	if err != nil {
		return spec, err
	}
	for _, j := range open {
		if j.Kind == JobKeyRotate {
			return spec, fmt.Errorf("%w: %s started it ('locus job watch %s' shows how far it is)", ErrRotating, j.By, j.ID)
		}
	}
	rows, err := k.db.Control().ListMasterKeys(ctx)
	if err != nil {
		return spec, fmt.Errorf("read which master keys there are: %w", err)
	}
	to, err := k.next(rows, want.To)
	if err != nil {
		return spec, err
	}
	args := rotateArgs{
		startedBy: started(by), Of: int(by.Deployment),
		To: int16(to.ID), Fingerprint: to.Fingerprint, WaitSeconds: int64(want.Wait / time.Second), Leave: want.Leave,
	}
	if args.WaitSeconds <= 0 {
		args.WaitSeconds = int64(KeyWait / time.Second)
	}
	return job.Spec{Kind: JobKeyRotate, Args: args, By: by.Name}, nil
}

// maxOpenJobs bounds those that are looked through for another rotation.
const maxOpenJobs = 1000

// next is the key that is to seal. The one that seals already is given where another's values are left to be resealed.
func (k *MasterKeys) next(rows []controldb.MasterKey, wanted int) (keyring.Key, error) {
	states := map[byte]int16{}
	left := false
	for _, row := range rows {
		states[byte(row.KeyID)] = row.State
		left = left || row.State == keyOpens
	}
	var may []keyring.Key
	for _, key := range k.keys.Keys() {
		state := states[key.ID]
		switch {
		case wanted == int(key.ID) && state == keyRefused:
			return key, fmt.Errorf("%w: key %d; make another one ('locus key new')", ErrKeyRefused, wanted)
		case wanted == int(key.ID):
			return key, nil
		case wanted == 0 && (state == 0 || state == keyAnnounced):
			may = append(may, key)
		}
	}
	for _, key := range k.keys.Keys() {
		if len(may) == 0 && left && states[key.ID] == keySeals && wanted == 0 {
			return key, nil
		}
	}
	switch {
	case len(may) == 1:
		return may[0], nil
	case len(may) > 1:
		return keyring.Key{}, fmt.Errorf("%w: %s; say which one", ErrWhichKey, numbers(may))
	}
	return keyring.Key{}, fmt.Errorf("%w: put it behind the one in use, for all processes ('locus key new' makes one)", ErrNoNewKey)
}

func numbers(keys []keyring.Key) string {
	out := make([]string, len(keys))
	for i, key := range keys {
		out[i] = fmt.Sprint(key.ID)
	}
	return strings.Join(out, ", ")
}

// RotateKind is the work, for the processes that may do it. at, for tests, is called at each step, and may stop it there.
func (k *MasterKeys) RotateKind(at func(step string) error) job.Kind {
	if at == nil {
		at = func(string) error { return nil }
	}
	return job.Kind{
		Name:   JobKeyRotate,
		Work:   func(ctx context.Context, r *job.Run) error { return k.rotate(db.InBackground(ctx), r, at) },
		Abort:  k.abortRotation,
		Passes: func(err error) bool { return db.IsUnavailable(err) || errors.Is(err, db.ErrUnknownOutcome) },
	}
}

// rotation is one attempt at it.
type rotation struct {
	*MasterKeys
	run   *job.Run
	args  rotateArgs
	out   KeyRotated
	stuck []string // values that do not open, the first of them
	lost  int64    // all of them
}

// rotate goes through the steps. Where it is, the list of keys says: each step may be begun again, by any process.
func (k *MasterKeys) rotate(ctx context.Context, r *job.Run, at func(string) error) error {
	w := &rotation{MasterKeys: k, run: r}
	if err := r.Args(&w.args); err != nil {
		return err
	}
	if err := r.State(&w.out); err != nil {
		return err
	}
	w.out.Key, w.out.Refused = int(w.args.To), []int{}
	for _, step := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"announce", w.announce}, {"known", w.known}, {"seal", w.seal}, {"sealed by all", w.followed}, {"reseal", w.reseal},
		{"settle", w.settle}, {"reseal the rest", w.resealRest}, {"refuse", w.refuse}, {"refused by all", w.followed}, {"look", w.last},
	} {
		if err := at(step.name); err != nil {
			return err
		}
		if err := step.do(ctx); err != nil {
			return err
		}
	}
	return r.Result(w.out)
}

// list reads the keys of the deployment and the one that this is about. Errors: [ErrKeyRefused], [ErrNoNewKey].
func (w *rotation) list(ctx context.Context) (rows []controldb.MasterKey, to *controldb.MasterKey, err error) {
	if rows, err = w.db.Control().ListMasterKeys(ctx); err != nil {
		return nil, nil, fmt.Errorf("read which master keys there are: %w", err)
	}
	for i := range rows {
		if rows[i].KeyID == w.args.To {
			to = &rows[i]
		}
	}
	switch {
	case to == nil:
	case to.Fingerprint != w.args.Fingerprint:
		return nil, nil, fmt.Errorf("%w: %d", keyring.ErrOtherMaster, w.args.To)
	case to.State == keyRefused:
		return nil, nil, fmt.Errorf("%w: key %d", ErrKeyRefused, w.args.To)
	}
	return rows, to, nil
}

// change writes a new state of keys, with a revision that processes see with their next beat.
func (w *rotation) change(ctx context.Context, action string, body func(q *controldb.Queries, revision int64, now time.Time) error) error {
	return w.logged(ctx, w.args.operator(), action, 0, deed{fmt.Sprintf("key %d", w.args.To), nil}, func() (int64, error) {
		return 0, w.db.ControlTx(ctx, func(q *controldb.Queries) error {
			revision, err := q.LockNextCounter(ctx, counterMasterKey)
			if err != nil {
				return err
			}
			return body(q, revision, w.now().UTC().Truncate(time.Microsecond))
		})
	})
}

// announce has all processes look for the new key.
func (w *rotation) announce(ctx context.Context) error {
	_, to, err := w.list(ctx)
	if err != nil || to != nil {
		return err
	}
	return w.change(ctx, actKeyRotate, func(q *controldb.Queries, revision int64, now time.Time) error {
		// Of two that begin at the same moment the later one counts. The other finds its key gone before it seals.
		all, err := q.ListMasterKeys(ctx)
		if err != nil {
			return err
		}
		for _, row := range all {
			if row.State != keyAnnounced {
				continue
			}
			if _, err := q.DeleteMasterKeyAnnounced(ctx, row.KeyID); err != nil {
				return err
			}
		}
		_, err = q.InsertMasterKey(ctx, controldb.InsertMasterKeyParams{
			KeyID: w.args.To, Fingerprint: w.args.Fingerprint, State: keyAnnounced, Revision: revision, AddedAt: now,
		})
		return err
	})
}

// known waits until every process has said that it has the new key.
func (w *rotation) known(ctx context.Context) error {
	_, to, err := w.list(ctx)
	if err != nil || to == nil || to.State != keyAnnounced {
		return err
	}
	until := w.now().Add(time.Duration(w.args.WaitSeconds) * time.Second)
	for {
		all, err := process.Alive(ctx, w.db, w.now())
		if err != nil {
			return err
		}
		var not []string
		for _, p := range all {
			if !slices.Contains(p.Keys, w.args.Fingerprint) {
				not = append(not, p.Address)
			}
		}
		if len(not) == 0 {
			return nil
		}
		w.run.Progress("waiting for processes that do not know the new key: "+several(not), int64(len(all)-len(not)), int64(len(all)))
		if w.now().After(until) {
			_ = w.withdraw(context.WithoutCancel(ctx)) // else the next rotation finds it announced
			return fmt.Errorf("%w: %s. Give them the key, behind the one in use, and start the rotation again; nothing has changed", ErrNotKnown, several(not))
		}
		if err := sleep(ctx, keyLook); err != nil {
			return err
		}
	}
}

// several names a few.
func several(names []string) string {
	const most = 5
	if len(names) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}

// seal has everything new sealed by the new key from now on. From here on there is no way back.
func (w *rotation) seal(ctx context.Context) error {
	rows, to, err := w.list(ctx)
	if err != nil {
		return err
	}
	if to == nil { // somebody has withdrawn it at this moment
		return fmt.Errorf("%w: key %d is not announced any more; start the rotation again", ErrNoNewKey, w.args.To)
	}
	if to.State == keySeals {
		return w.obey(ctx)
	}
	err = w.change(ctx, actKeySeals, func(q *controldb.Queries, revision int64, now time.Time) error {
		for _, row := range rows {
			if row.State != keySeals {
				continue
			}
			if _, err := q.UpdateMasterKeyState(ctx, controldb.UpdateMasterKeyStateParams{KeyID: row.KeyID, Was: keySeals, State: keyOpens, Revision: revision, Now: now}); err != nil {
				return err
			}
		}
		n, err := q.UpdateMasterKeyState(ctx, controldb.UpdateMasterKeyStateParams{KeyID: w.args.To, Was: to.State, State: keySeals, Revision: revision, Now: now})
		if err == nil && n == 0 {
			err = fmt.Errorf("%w: somebody changed the list of keys at this moment; start the rotation again", ErrNoNewKey)
		}
		return err
	})
	if err != nil {
		return err
	}
	return w.obey(ctx)
}

// obey has this process do what the list says, which may not be one of those that serve.
func (w *rotation) obey(ctx context.Context) error {
	_, err := w.Adopt(ctx, false)
	return err
}

// followed waits until every process goes by the list as it is.
func (w *rotation) followed(ctx context.Context) error {
	rows, _, err := w.list(ctx)
	if err != nil {
		return err
	}
	newest := int64(0)
	for _, row := range rows {
		newest = max(newest, row.Revision)
	}
	for {
		all, err := process.Alive(ctx, w.db, w.now())
		if err != nil {
			return err
		}
		var not []string
		for _, p := range all {
			if p.KeyRevision == nil || *p.KeyRevision < newest {
				not = append(not, p.Address)
			}
		}
		if len(not) == 0 {
			return w.obey(ctx)
		}
		w.run.Progress("waiting for processes to follow: "+several(not), int64(len(all)-len(not)), int64(len(all)))
		if err := sleep(ctx, keyLook); err != nil {
			return err
		}
	}
}

// settle waits for who may have begun by the key of before: commands for a while, long work until it has ended.
func (w *rotation) settle(ctx context.Context) error {
	_, to, err := w.list(ctx)
	if err != nil || to == nil || to.SealsSince == nil {
		return err
	}
	for {
		busy, err := w.db.Control().CountJobsSince(ctx, controldb.CountJobsSinceParams{Kinds: slowToSeal, Before: *to.SealsSince})
		if err != nil {
			return fmt.Errorf("look for work that began before: %w", err)
		}
		wait := to.SealsSince.Add(w.settled).Sub(w.now())
		if busy == 0 && wait <= 0 {
			return nil
		}
		step := "waiting for commands that began before"
		if busy > 0 {
			step = fmt.Sprintf("waiting for %d restores, copies and moves that began before", busy)
		}
		w.run.Progress(step, 0, 0)
		if busy > 0 || wait > keyLook {
			wait = keyLook
		}
		if err := sleep(ctx, wait); err != nil {
			return err
		}
	}
}

// abortRotation withdraws a key that only was announced.
func (k *MasterKeys) abortRotation(ctx context.Context, r *job.Run) error {
	w := &rotation{MasterKeys: k, run: r}
	if err := r.Args(&w.args); err != nil {
		return err
	}
	_, to, err := w.list(ctx)
	if err != nil {
		return err
	}
	if to != nil && to.State != keyAnnounced {
		return job.ErrTooLate
	}
	return w.withdraw(ctx)
}

func (w *rotation) withdraw(ctx context.Context) error {
	if _, err := w.db.Control().DeleteMasterKeyAnnounced(ctx, w.args.To); err != nil {
		return fmt.Errorf("withdraw key %d: %w", w.args.To, err)
	}
	return nil
}

// moving tells whether a tenant is on its way to another database: what is written into the schema it leaves may be lost.
// A move that failed is no longer on its way: the tenant is where it was, and the next move begins with another copy.
func (w *rotation) moving(ctx context.Context, t *tenant.Tenant) (bool, error) {
	move, err := w.db.Control().GetTenantMove(ctx, t.ID)
	if db.IsNoRows(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look whether %s is being moved: %w", t.Hostname, err)
	}
	row, err := w.db.Control().GetJob(ctx, move.MoveID)
	switch {
	case db.IsNoRows(err): // it ended so long ago that it was forgotten
		return false, nil
	case err != nil:
		return false, fmt.Errorf("look at the move of %s: %w", t.Hostname, err)
	}
	return job.State(row.State) < job.Done, nil
}

// still holds that this is the rotation which counts: another one, begun at the same moment, may have sealed by a third key.
func (w *rotation) still(rows []controldb.MasterKey) error {
	for _, row := range rows {
		if row.State == keySeals && row.KeyID != w.args.To {
			return fmt.Errorf("%w: key %d seals now, and not key %d: that rotation brings everything to its end", ErrRotating, row.KeyID, w.args.To)
		}
	}
	return nil
}
