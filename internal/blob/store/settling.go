package store

import "sync"

// settling does small things one after the other while nobody waits for them.
type settling struct {
	mu     sync.Mutex
	todo   []func()
	at     bool // a goroutine does them
	closed bool
	done   sync.WaitGroup
}

func (s *settling) begin(do func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed { // nobody waits for another goroutine any more
		do()
		return
	}
	s.todo = append(s.todo, do)
	if !s.at {
		s.at = true
		s.done.Go(s.run)
	}
}

func (s *settling) run() {
	for {
		s.mu.Lock()
		all := s.todo
		s.todo = nil
		s.at = len(all) > 0
		s.mu.Unlock()
		if len(all) == 0 {
			return
		}
		for _, do := range all {
			do()
		}
	}
}

// close waits until all is done.
func (s *settling) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.done.Wait()
}
