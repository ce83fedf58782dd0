package limit

// MaxEntries is for tests. MaxEntries is how many keys of a short address fit.
const MaxEntries = maxBytes / (entryBytes + len("1.2.3.4"))

// Remembered is how many keys are in memory, and how many of them wait to be told.
func (c *Counter) Remembered() (all, untold int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, keys := range c.dirty {
		untold += len(keys)
	}
	return len(c.entries), untold
}
