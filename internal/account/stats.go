package account

import (
	"github.com/auroralocus/locus/internal/cache"
	"github.com/auroralocus/locus/internal/fair"
)

// Stats say how what is remembered of accounts is used.
func (c *Cache) Stats() cache.Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.kept.Stats()
}

// Turns say who hash passwords, and who wait for it.
func (p *Passwords) Turns() fair.Stats { return p.turns.Stats() }
