package firehose

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/controldb"
)

const (
	// readBusy is how often notes are read while there are some, readQuiet while there were none for busyFor, and
	// readAlone where no other process serves: then only commands write any.
	readBusy, readQuiet, readAlone = 25 * time.Millisecond, 50 * time.Millisecond, 250 * time.Millisecond
	busyFor                        = 2 * time.Second
	// readShare is the part of the time that reading may take: a table that a long transaction keeps from being cleaned
	// must not take a core.
	readShare = 20
	// readTime bounds one reading: afterwards streams are looked at one by one.
	readTime  = 2 * time.Second
	nodeEvery = time.Second
	// looksAtOnce is how many quiet streams of a database are looked at at the same time.
	looksAtOnce = 4
	// foreignFor is how long a stream that another process has written to is looked at as if there were no notes.
	foreignFor = 2 * time.Second
)

// relied is whose word is relied on: quiet streams are not looked at where it is.
type relied struct {
	notes bool
	nodes map[int32]bool // other databases than the control schema's own
}

// reader reads notes.
type reader struct {
	tails   *Tails
	notes   *Notes
	server  string              // that answered last; "": none did
	known   map[int64]int64     // process → its newest note
	heard   map[int64]time.Time // process → when there was one
	others  map[int64]bool      // processes that serve
	some    time.Time           // when there was a note last
	cleaned time.Time           // when old notes were deleted
}

// RunNotes reads what other processes note of their events, until the context ends. While nobody follows a stream it does
// nothing.
func (t *Tails) RunNotes(ctx context.Context) error {
	if t.cfg.Notes == nil {
		return nil
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { t.runNodes(ctx); return nil })
	group.Go(func() error {
		r := &reader{tails: t, notes: t.cfg.Notes, cleaned: t.now()}
		for ctx.Err() == nil {
			r.run(ctx)
		}
		return nil
	})
	err := group.Wait()
	t.rely(func(r *relied) { *r = relied{} })
	return err
}

// run reads as long as a stream is followed, and then waits until one is.
func (r *reader) run(ctx context.Context) {
	t := r.tails
	r.server, r.known, r.heard = "", map[int64]int64{}, map[int64]time.Time{}
	for t.Followed() > 0 && ctx.Err() == nil {
		began := time.Now()
		wait := r.step(ctx)
		sleep(ctx, max(wait, readShare*time.Since(began)))
	}
	t.rely(func(r *relied) { r.notes = false })
	select {
	case <-ctx.Done():
	case <-t.awake:
	}
}

// step reads once, and tells when to read again.
func (r *reader) step(ctx context.Context) time.Duration {
	t := r.tails
	others, fresh, mutual := r.notes.circle()
	look := false // at everything
	if fresh {
		for id := range r.others {
			look = look || !slices.Contains(others, id) // it may have died before it noted something
		}
		r.others = make(map[int64]bool, len(others))
		for _, id := range others {
			r.others[id] = true
		}
	}
	rows, err := r.read(ctx)
	if err != nil {
		if r.server != "" && ctx.Err() == nil && !db.IsUnavailable(err) { // which db tells the log
			t.log.Warn("notes of other processes cannot be read; streams are looked at one by one", "err", err)
		}
		r.server = ""
		t.rely(func(r *relied) { r.notes = false })
		return readAlone
	}
	names, missed := r.sort(rows)
	if missed && r.server != "" {
		t.notesMissed.Add(1)
	}
	look = look || missed || r.server != rows[0].Server || mutual && !t.relied.Load().notes
	r.server = rows[0].Server
	t.rely(func(r *relied) { r.notes = mutual })
	for name, seq := range names {
		t.noted(name, seq)
	}
	if look {
		t.lookAll(func(int32) bool { return true })
	}
	r.clean(ctx)
	switch {
	case len(names) > 0:
		r.some = time.Now()
		return readBusy
	case time.Since(r.some) < busyFor:
		return readBusy
	case fresh && len(others) == 0:
		return readAlone
	}
	return readQuiet
}

func (r *reader) read(ctx context.Context) ([]controldb.ListStreamNotesRow, error) {
	r.tails.reads.Add(1)
	ctx, cancel := context.WithTimeout(ctx, readTime)
	defer cancel()
	arg := controldb.ListStreamNotesParams{Self: r.notes.self, MaxRows: notesAtOnce}
	for id, n := range r.known {
		arg.Processes, arg.Known = append(arg.Processes, id), append(arg.Known, n)
	}
	return r.tails.db.Control().ListStreamNotes(ctx, arg)
}

// sort takes the notes apart. missed tells that there were others, which are gone.
func (r *reader) sort(rows []controldb.ListStreamNotesRow) (names map[string]int64, missed bool) {
	names = map[string]int64{}
	now := time.Now()
	for _, row := range rows {
		if row.ProcessID == 0 {
			continue
		}
		known, ok := r.known[row.ProcessID]
		missed = missed || row.N != known+1
		if ok && row.N == known+1 { // others have waited for a reader, or are gone
			r.tails.notesRead.Add(1)
			r.tails.notesLate.Add(int64(max(0, r.tails.now().Sub(row.NotedAt))))
		}
		r.known[row.ProcessID], r.heard[row.ProcessID] = row.N, now
		for i, name := range row.Schemas[:min(len(row.Schemas), len(row.Seqs))] {
			names[name] = max(names[name], row.Seqs[i])
		}
	}
	return names, missed || len(rows) == notesAtOnce
}

// clean deletes old notes now and then, and forgets the processes that they were of.
func (r *reader) clean(ctx context.Context) {
	now := r.tails.now()
	if since := now.Sub(r.cleaned); since >= 0 && since < notesKept {
		return
	}
	r.cleaned = now
	_, _ = r.tails.db.Control().DeleteStreamNotesBefore(ctx, now.Add(-notesKept).UTC()) // or the next time
	for id, at := range r.heard {
		if !r.others[id] && time.Since(at) > 2*notesKept {
			delete(r.heard, id)
			delete(r.known, id)
		}
	}
}

// runNodes asks each other database that followed streams are in, once a second, whether it is the same server still.
func (t *Tails) runNodes(ctx context.Context) {
	marks := map[int32]string{}
	for ; ctx.Err() == nil; sleep(ctx, nodeEvery) {
		nodes := t.nodes()
		found := make([]string, len(nodes))
		var asking sync.WaitGroup
		for i, node := range nodes {
			asking.Go(func() {
				ctx, cancel := context.WithTimeout(ctx, readTime)
				defer cancel()
				found[i], _ = t.db.ServerMark(ctx, node) // what is wrong is told by db
			})
		}
		asking.Wait()
		changed := map[int32]bool{}
		t.rely(func(r *relied) {
			r.nodes = map[int32]bool{}
			for i, node := range nodes {
				r.nodes[node] = found[i] != ""
				changed[node] = found[i] != "" && found[i] != marks[node]
			}
		})
		clear(marks)
		for i, node := range nodes {
			marks[node] = found[i]
		}
		if len(changed) > 0 {
			t.lookAll(func(node int32) bool { return changed[node] })
		}
	}
}

// nodes are the databases of followed streams, without the control schema's own.
func (t *Tails) nodes() []int32 {
	t.mu.Lock()
	defer t.mu.Unlock()
	found := map[int32]bool{}
	for _, tl := range t.tails {
		if node := tl.tenant.Node(); node != db.HomeNode {
			found[node] = true
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// rely changes what is relied on, and lets the tails know if it is another.
func (t *Tails) rely(change func(*relied)) {
	t.relying.Lock()
	defer t.relying.Unlock()
	old := t.relied.Load()
	next := &relied{notes: old.notes, nodes: old.nodes}
	change(next)
	if next.notes == old.notes && maps.Equal(next.nodes, old.nodes) {
		return
	}
	t.relied.Store(next)
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, tl := range t.tails {
		tl.nudge(wantNothing)
	}
}

// relies tells whether a stream in that database needs no looking at.
func (t *Tails) relies(node int32) bool {
	r := t.relied.Load()
	return r.notes && (node == db.HomeNode || r.nodes[node])
}

// noted has a stream looked at that another process has written to.
func (t *Tails) noted(name string, seq int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	tl := t.tails[name]
	if tl == nil {
		return
	}
	if r := tl.ring.Load(); r == nil || r.last < seq {
		tl.nudge(wantNow)
	}
}

// lookAll has all followed streams of these databases looked at, some at a time.
func (t *Tails) lookAll(of func(node int32) bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, tl := range t.tails {
		if of(tl.tenant.Node()) {
			tl.nudge(wantPaced)
		}
	}
}

// pace is the places of those who look at quiet streams of a database.
func (t *Tails) pace(node int32) chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	places := t.paces[node]
	if places == nil {
		places = make(chan struct{}, looksAtOnce)
		t.paces[node] = places
	}
	return places
}
