package limit

// MaxEntries is for tests.
const MaxEntries = maxEntries

// Remembered is how many keys are in memory, and how many of them wait to be told.
func (c *Counter) Remembered() (all, untold int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, keys := range c.dirty {
		untold += len(keys)
	}
	return len(c.entries), untold
}
