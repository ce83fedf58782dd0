package job

import "sync"

// reporter holds the newest progress until somebody asks for it.
type reporter struct {
	mu          sync.Mutex
	step        string
	done, total int64
	each        func(step string, done, total int64) // nil: nobody looks on
}

func (p *reporter) set(step string, done, total int64) {
	p.mu.Lock()
	p.step, p.done, p.total = step, done, total
	each := p.each
	p.mu.Unlock()
	if each != nil {
		each(step, done, total)
	}
}

// finish says that all is done, which those who look on learn otherwise.
func (p *reporter) finish() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.step, p.done = "done", p.total
}

func (p *reporter) get() (step string, done, total int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.step, p.done, p.total
}
