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
}

// Alive lists the processes that were seen a moment ago, the oldest first.
func Alive(ctx context.Context, d *db.DB, now time.Time) ([]Process, error) {
	rows, err := d.Control().ListProcesses(ctx, controldb.ListProcessesParams{Since: now.Add(-aliveFor).UTC(), MaxRows: maxProcesses})
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	out := make([]Process, len(rows))
	for i, r := range rows {
		out[i] = Process{r.ProcessID, r.Address, r.Version, r.ControlVersion, r.TenantVersion, r.StartedAt, r.SeenAt}
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

	others atomic.Pointer[[]Process]

	beats   int // of Run alone, as failing
	failing bool
}

// New makes an identity for this process. Nobody knows of it before [Self.Run].
func New(d *db.DB, now func() time.Time, log *slog.Logger) *Self {
	var raw [8]byte
	_, _ = rand.Read(raw[:]) // never fails: the runtime ends the process instead
	return &Self{db: d, now: now, log: log, id: int64(binary.BigEndian.Uint64(raw[:]) >> 1), since: now()}
}

// ID is this process's number, never 0 as good as surely.
func (s *Self) ID() int64 { return s.id }

// Others lists the other processes that serve, as of the last beat, or none before the first one.
func (s *Self) Others() []Process {
	if p := s.others.Load(); p != nil {
		return *p
	}
	return nil
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
	if err := s.db.Control().UpsertProcess(ctx, row); err != nil {
		return err
	}
	all, err := Alive(ctx, s.db, now)
	if err != nil {
		return err
	}
	others := slices.DeleteFunc(all, func(p Process) bool { return p.ID == s.id })
	s.others.Store(&others)
	if s.beats++; s.beats%int(forgetAfter/beatEvery) == 1 {
		_, err = s.db.Control().DeleteProcessesBefore(ctx, now.Add(-forgetAfter))
	}
	return err
}

func (s *Self) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTime)
	defer cancel()
	_ = s.db.Control().DeleteProcess(ctx, s.id) // else it is not seen any more
}
