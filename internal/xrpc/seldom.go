package xrpc

import (
	"sync"
	"time"
)

// seldom lets one line of a kind into the log in a while.
type seldom struct {
	mu     sync.Mutex
	next   map[error]time.Time
	passed map[error]int // since the last line
}

const seldomEvery = time.Minute

// may tells whether a line about an error may be written now, and how many were not since the last.
func (s *seldom) may(kind error, now time.Time) (passed int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Before(s.next[kind]) {
		s.passed[kind]++
		return 0, false
	}
	if s.next == nil {
		s.next, s.passed = map[error]time.Time{}, map[error]int{}
	}
	s.next[kind] = now.Add(seldomEvery)
	passed = s.passed[kind]
	s.passed[kind] = 0
	return passed, true
}
