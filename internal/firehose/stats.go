package firehose

import (
	"time"

	"github.com/auroralocus/locus/internal/fair"
)

// Stats say how many follow the streams of this process.
type Stats struct {
	Tenants     int   // whose events are in memory because somebody follows them, or did a moment ago
	Subscribers int   // of all of them
	Decoded     int64 // bytes of JSON that were made of these events
	Behind      int64 // events that the subscriber who is furthest behind has not been handed
	Sent        int64 // events handed to subscribers, since the start
	TooSlow     int64 // subscribers who were left behind for good, since the start

	ByNotes, ByLooking int // tenants that are followed: whose events elsewhere are told by notes, and that are looked at all the time
	// Notes of other processes that were read, how long they were on their way, by the clocks of both, and how often some were
	// missed, so that all streams were looked at. Since the start.
	Notes, NotesMissed int64
	NotesLate          time.Duration
}

// Readers say who read old events, and who wait for it.
func (t *Tails) Readers() fair.Stats { return t.readers.Stats() }

// Stats asks the database nothing.
func (t *Tails) Stats() Stats {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := Stats{Tenants: len(t.tails), Sent: t.sent.Load(), TooSlow: t.tooSlow.Load()}
	for sub := range t.subs {
		if r := sub.tail.ring.Load(); r != nil {
			s.Behind = max(s.Behind, r.last-sub.handed.Load())
		}
	}
	s.Notes, s.NotesMissed, s.NotesLate = t.notesRead.Load(), t.notesMissed.Load(), time.Duration(t.notesLate.Load())
	for _, one := range t.tails {
		switch {
		case one.refs == 0:
		case t.relies(one.tenant.Node()):
			s.ByNotes++
		default:
			s.ByLooking++
		}
		s.Subscribers += one.refs
		s.Decoded += one.decoded.Load()
	}
	return s
}
