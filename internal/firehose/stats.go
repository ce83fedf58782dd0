package firehose

import "github.com/auroralocus/locus/internal/fair"

// Stats say how many follow the streams of this process.
type Stats struct {
	Tenants     int   // whose events are in memory because somebody follows them, or did a moment ago
	Subscribers int   // of all of them
	Decoded     int64 // bytes of JSON that were made of these events
	Behind      int64 // events that the subscriber who is furthest behind has not been handed
	Sent        int64 // events handed to subscribers, since the start
	TooSlow     int64 // subscribers who were left behind for good, since the start
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
	for _, one := range t.tails {
		s.Subscribers += one.refs
		s.Decoded += one.decoded.Load()
	}
	return s
}
