package limit

import (
	"slices"
	"time"

	"github.com/auroralocus/locus/db"
)

// makeRoom forgets windows that have ended, and then, of the tenants that hold most, as much as leaves a tenth free: of
// each those first of whose limit the least is used, and of like ones those that the table has been told of. Untold
// ones are lost, but few points are: keeping them would let a stranger with many addresses fill the memory, sooner
// still while the database is away.
func (c *Counter) makeRoom(now time.Time) {
	held := map[db.Schema]*ranked{}
	for k, e := range c.entries {
		if e.endsAt <= now.Unix() {
			c.forget(k)
			continue
		}
		h := held[k.schema]
		if h == nil {
			h = &ranked{}
			held[k.schema] = h
		}
		h.bytes += k.weight()
		h.ranks[e.rank()] += k.weight()
	}
	level := waterline(held, maxBytes/10*9)
	for _, h := range held {
		h.excess = h.bytes - level
		for h.last < len(h.ranks)-1 && h.ranks[h.last] < h.excess {
			h.excess -= h.ranks[h.last]
			h.last++
		}
	}
	for k, e := range c.entries {
		h := held[k.schema]
		switch rank := e.rank(); {
		case rank < h.last:
			c.forget(k)
		case rank == h.last && h.excess > 0:
			h.excess -= k.weight()
			c.forget(k)
		}
	}
}

// ranked is what a tenant's keys take, by how much of their limits is used.
type ranked struct {
	bytes  int
	ranks  [2 * shares]int
	excess int // to be forgotten of the keys of rank last
	last   int // the rank of which only some go
}

// waterline is how much each tenant may hold so that all together hold no more than room.
func waterline(held map[db.Schema]*ranked, room int) int {
	all := make([]int, 0, len(held))
	for _, h := range held {
		all = append(all, h.bytes)
	}
	slices.Sort(all)
	for i, n := range all {
		share := room / (len(all) - i)
		if n > share {
			return share
		}
		room -= n
	}
	return maxBytes // all of it fits
}

// shares is in how many steps makeRoom tells how much of a limit is used.
const shares = 8

func (e *entry) rank() int {
	rank := 2 * int(min(shares-1, max(0, e.used())*shares/e.limit))
	if e.pending != 0 {
		rank++
	}
	return rank
}

func (k entryKey) weight() int { return entryBytes + len(k.key) }

// forget needs an entry that is there.
func (c *Counter) forget(k entryKey) {
	c.bytes -= k.weight()
	delete(c.entries, k)
	delete(c.dirty[k.schema], k)
}
