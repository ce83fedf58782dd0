package fair

// Stats say how something shared is used.
type Stats struct {
	Size, Used int64
	Waiting    int   // who wait for a part
	Refused    int64 // who got none since the start: nothing was free, or not in time
}

// Stats is how it is used now.
func (b *shared) Stats() Stats {
	b.mu.Lock()
	defer b.mu.Unlock()
	return Stats{Size: b.size, Used: b.root.used, Waiting: b.root.waiting, Refused: b.refused}
}

// Stats is how many are at work and wait; Size is how many of one tenant may be, 0 if any number may.
func (d *Door) Stats() Stats {
	d.mu.Lock()
	defer d.mu.Unlock()
	return Stats{Size: int64(d.level), Used: int64(d.inside), Waiting: d.waiting, Refused: d.refused}
}
