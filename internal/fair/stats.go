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
