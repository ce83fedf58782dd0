package firehose

// Stats say how many follow the streams of this process.
type Stats struct {
	Tenants     int   // whose events are in memory because somebody follows them, or did a moment ago
	Subscribers int   // of all of them
	Decoded     int64 // bytes of JSON that were made of these events
}

// Stats asks the database nothing.
func (t *Tails) Stats() Stats {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := Stats{Tenants: len(t.tails)}
	for _, one := range t.tails {
		s.Subscribers += one.refs
		s.Decoded += one.decoded.Load()
	}
	return s
}
