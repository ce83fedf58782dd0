package repo

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

// ErrTID says that a text is no TID.
var ErrTID = errors.New("repo: invalid tid")

// TID is a timestamp identifier: 53 bits of microseconds since 1970, then 10 bits that tell clocks apart. As an integer
// it sorts like its text.
//
// spec: tid#tid-syntax
type TID int64

const (
	tidLen   = 13
	tidChars = "234567abcdefghijklmnopqrstuvwxyz"
	clockIDs = 1 << 10
	maxMicro = 1<<53 - 1
)

var tidValues = func() (v [256]int8) {
	for i := range v {
		v[i] = -1
	}
	for i, c := range []byte(tidChars) {
		v[c] = int8(i)
	}
	return v
}()

// NewTID is the TID of a moment and a clock.
func NewTID(t time.Time, clockID int) TID {
	micro := min(max(t.UnixMicro(), 0), maxMicro)
	return TID(micro<<10 | int64(clockID)&(clockIDs-1))
}

// String is the 13 characters.
func (t TID) String() string {
	var b [tidLen]byte
	return string(t.Append(b[:0]))
}

// Append appends the 13 characters.
func (t TID) Append(dst []byte) []byte {
	for shift := 60; shift >= 0; shift -= 5 {
		dst = append(dst, tidChars[uint64(t)>>shift&31])
	}
	return dst
}

// Time is the moment, to the microsecond.
func (t TID) Time() time.Time { return time.UnixMicro(int64(t >> 10)).UTC() }

// ParseTID reads exactly what String writes.
func ParseTID(s string) (TID, error) {
	if len(s) != tidLen {
		return 0, fmt.Errorf("%w: %d characters", ErrTID, len(s))
	}
	var t uint64
	for i := range tidLen {
		v := tidValues[s[i]]
		if v < 0 || i == 0 && v >= 8 { // the top bit is 0
			return 0, fmt.Errorf("%w: %q", ErrTID, s)
		}
		t = t<<5 | uint64(v)
	}
	return TID(t), nil
}

// NextRev is the rev of a commit made now behind prev: it rises even when the clock stands or falls back.
//
// spec: repository#commit-objects
func NextRev(prev TID, now time.Time) TID {
	return max(NewTID(now, 0), (prev>>10+1)<<10)
}

// Clock makes TIDs that rise strictly. It may be used by many goroutines.
type Clock struct {
	now func() time.Time
	id  int
	mu  sync.Mutex
	// last is in microseconds.
	last int64
}

// NewClock is a clock with an id of 0 to 1023, which tells apart clocks that run at once.
func NewClock(now func() time.Time, clockID int) *Clock {
	return &Clock{now: now, id: clockID}
}

// Next is a TID greater than all before.
func (c *Clock) Next() TID {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = max(c.now().UnixMicro(), c.last+1)
	return NewTID(time.UnixMicro(c.last), c.id)
}
