// Package process keeps the list of the processes that serve a deployment: who is there, since when, and what schema
// versions each knows. A process says every few seconds that it is there; one that ends in order takes its row away, and
// one that dies is not counted any more half a minute later.
package process

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/controldb"
)

const (
	// beatEvery is how often a process says that it is there.
	beatEvery = 5 * time.Second
	// aliveFor is how long it is believed: some lost beats, and clocks that lie apart, are no death.
	aliveFor = 30 * time.Second
	// forgetAfter is when the row of a dead one goes.
	forgetAfter  = 10 * time.Minute
	maxProcesses = 10_000
	leaveTime    = 2 * time.Second
	// freshFor is how long a list of the others is relied on where it counts that nobody is missing: two beats.
	freshFor = 2 * beatEvery
	// knownAfter is how many beats of another process must have been seen since this one is in the list: by then the
	// other has read it, or has failed for so long that it does not rely on what it read before.
	knownAfter = 4
)

// Process is a process that serves.
type Process struct {
	ID             int64     `json:"id"`
	Address        string    `json:"address"` // host and address that it serves at: for people
	Version        string    `json:"version"` // of the program
	ControlVersion int64     `json:"controlVersion"`
	TenantVersion  int64     `json:"tenantVersion"`
	StartedAt      time.Time `json:"startedAt"`
	SeenAt         time.Time `json:"seenAt"`
	// Keys are the fingerprints of the master keys that it has, KeyRevision the revision of the deployment's list of them
	// that it goes by. Null: it is of a version that does not say.
	Keys        []string `json:"keys"`
	KeyRevision *int64   `json:"keyRevision"`
	// Refused are the sign-ins that it has refused since its start, as of its last beat. Nil: as above.
	Refused *Refused `json:"refused"`
}

// Refused counts sign-ins that were refused for a wrong password, code or key.
type Refused struct {
	People    int64 `json:"people"`
	Operators int64 `json:"operators"`
}

// AllRefused adds up what processes have refused. known is false where one of them does not say.
func AllRefused(all []Process) (sum Refused, known bool) {
	known = true
	for _, p := range all {
		if p.Refused == nil {
			known = false
			continue
		}
		sum.People += p.Refused.People
		sum.Operators += p.Refused.Operators
	}
	return sum, known
}

// Alive lists the processes that were seen a moment ago, the oldest first.
func Alive(ctx context.Context, d *db.DB, now time.Time) ([]Process, error) {
	rows, err := d.Control().ListProcesses(ctx, controldb.ListProcessesParams{Since: now.Add(-aliveFor).UTC(), MaxRows: maxProcesses})
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	out := make([]Process, len(rows))
	for i, r := range rows {
		out[i] = Process{r.ProcessID, r.Address, r.Version, r.ControlVersion, r.TenantVersion, r.StartedAt, r.SeenAt, r.Keys, r.KeyRevision, nil}
		if r.RefusedPeople != nil && r.RefusedOperators != nil {
			out[i].Refused = &Refused{*r.RefusedPeople, *r.RefusedOperators}
		}
	}
	return out, nil
}

// Self is this process among the others. It is safe for concurrent use.
type Self struct {
	db    *db.DB
	now   func() time.Time
	log   *slog.Logger
	id    int64
	since time.Time
	keys  Keys           // nil: nothing is said of them
	told  func() Refused // nil: nothing is said of it

	others atomic.Pointer[[]Process]
	circle atomic.Pointer[circle]

	beats   int // of Run alone, as the rest
	failing bool
	seen    map[int64]seen
}

// New makes an identity for this process. Nobody knows of it before [Self.Run].
func New(d *db.DB, now func() time.Time, log *slog.Logger) *Self {
	var raw [8]byte
	_, _ = rand.Read(raw[:]) // never fails: the runtime ends the process instead
	return &Self{db: d, now: now, log: log, id: int64(binary.BigEndian.Uint64(raw[:]) >> 1), since: now()}
}

// Keys is what a process says of its master keys with each beat, and how it hears that the list of them has changed.
type Keys interface {
	// Report gives the fingerprints of those that it has, and the revision of the list that it goes by.
	Report() (fingerprints []string, revision int64)
	// Follow is told the newest revision with each beat, and says whether there is something new to report.
	Follow(ctx context.Context, newest int64) bool
}

// Holds has what the process knows of master keys said with each beat. It is called before [Self.Run].
func (s *Self) Holds(k Keys) { s.keys = k }

// Refuses has what the process has refused said with each beat: others add it to theirs. It is called before [Self.Run].
func (s *Self) Refuses(counts func() Refused) { s.told = counts }

// ID is this process's number, never 0 as good as surely.
func (s *Self) ID() int64 { return s.id }

// Others lists the other processes that serve, as of the last beat, or none before the first one.
func (s *Self) Others() []Process {
	if p := s.others.Load(); p != nil {
		return *p
	}
	return nil
}

// circle is who is there, as of a moment.
type circle struct {
	at     time.Time
	ids    []int64
	oldest int64 // control version that any of them knows; the newest there can be if there is none
	mutual bool
}

// seen is what was seen of another process since this one is in the list.
type seen struct {
	at    time.Time
	beats int
}

// Circle lists the other processes that serve. fresh is false if that is not known well enough to rely on nobody being
// missing. mutual is true if it is, each of the others has learnt of this process, and each knows at least this version of
// the control schema.
func (s *Self) Circle(control int64) (others []int64, fresh, mutual bool) {
	c := s.circle.Load()
	if c == nil {
		return nil, false, false
	}
	age := s.now().Sub(c.at)
	fresh = age >= 0 && age < freshFor
	return c.ids, fresh, fresh && c.mutual && c.oldest >= control
}

// learn draws the circle after a beat.
func (s *Self) learn(at time.Time, others []Process) {
	c := &circle{at: at, oldest: math.MaxInt64, mutual: true}
	now := make(map[int64]seen, len(others))
	for _, p := range others {
		c.ids = append(c.ids, p.ID)
		c.oldest = min(c.oldest, p.ControlVersion)
		k, ok := s.seen[p.ID]
		if !ok || !k.at.Equal(p.SeenAt) {
			k = seen{p.SeenAt, k.beats + 1}
		}
		now[p.ID] = k
		c.mutual = c.mutual && k.beats >= knownAfter
	}
	s.seen = now
	s.circle.Store(c)
}

// Run says that this process serves until the context ends, and then that it does not.
func (s *Self) Run(ctx context.Context, address, version string) error {
	control, err := db.LatestControlVersion()
	if err != nil {
		return err
	}
	tenants, err := db.LatestTenantVersion()
	if err != nil {
		return err
	}
	row := controldb.UpsertProcessParams{
		ProcessID: s.id, Address: address, Version: version, ControlVersion: control, TenantVersion: tenants, StartedAt: s.since.UTC(),
	}
	defer s.leave(ctx)
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	for {
		err := s.beat(ctx, row)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && !s.failing && !db.IsUnavailable(err): // which db tells the log
			s.log.Warn("this process cannot say that it serves; others may take its work", "err", err)
			s.failing = true
		case err == nil:
			s.failing = false
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// beat says that this process is there, and learns who else is.
func (s *Self) beat(ctx context.Context, row controldb.UpsertProcessParams) error {
	now := s.now().UTC()
	row.SeenAt = now
	if s.told != nil {
		refused := s.told()
		row.RefusedPeople, row.RefusedOperators = &refused.People, &refused.Operators
	}
	if err := s.say(ctx, row); err != nil {
		return err
	}
	all, err := Alive(ctx, s.db, now)
	if err != nil {
		return err
	}
	others := slices.DeleteFunc(all, func(p Process) bool { return p.ID == s.id })
	s.others.Store(&others)
	s.learn(now, others)
	if s.beats++; s.beats%int(forgetAfter/beatEvery) == 1 {
		_, err = s.db.Control().DeleteProcessesBefore(ctx, now.Add(-forgetAfter))
	}
	return err
}

// say writes the row, and once more if there is something new to say after that.
func (s *Self) say(ctx context.Context, row controldb.UpsertProcessParams) error {
	for again := true; again; {
		if s.keys != nil {
			fingerprints, revision := s.keys.Report()
			row.Keys, row.KeyRevision = fingerprints, &revision
		}
		newest, err := s.db.Control().UpsertProcess(ctx, row)
		if err != nil {
			return err
		}
		again = s.keys != nil && s.keys.Follow(ctx, newest) && ctx.Err() == nil
	}
	return nil
}

func (s *Self) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTime)
	defer cancel()
	_ = s.db.Control().DeleteProcess(ctx, s.id) // else it is not seen any more
}
