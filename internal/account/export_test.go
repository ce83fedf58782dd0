package account

// Len is how many entries the cache holds.
func (c *Cache) Len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.byName) != c.order.Len() {
		panic("list and map differ")
	}
	return c.order.Len()
}

// Hashes is how many were made so far, of any password.
func (p *Passwords) Hashes() int64 { return p.done.Load() }
