package job

import "sync/atomic"

// Stats say what this process does with jobs.
type Stats struct {
	Running                          int64 // now
	Done, Failed, Cancelled, Retried int64 // attempts since the start, by what came of them
}

type counts struct{ running, done, failed, cancelled, retried atomic.Int64 }

// Stats asks the database nothing.
func (r *Runner) Stats() Stats {
	c := &r.counts
	return Stats{c.running.Load(), c.done.Load(), c.failed.Load(), c.cancelled.Load(), c.retried.Load()}
}

func (c *counts) ended(s State) {
	switch s {
	case Done:
		c.done.Add(1)
	case Failed:
		c.failed.Add(1)
	case Cancelled:
		c.cancelled.Add(1)
	}
}
