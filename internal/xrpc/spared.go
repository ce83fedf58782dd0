package xrpc

import (
	"context"
	"time"

	"github.com/auroralocus/locus/internal/limit"
)

// An account that moves here brings more files than anybody uploads in a day. Its records name them already: such an
// upload is no burden that the limit is there for, and costs nothing. What a file is, is known when it has come in. So
// each upload is charged, and given back when a record waited for it; and who has used up the limit is asked (the one
// round trip, which nobody else pays) whether files are missing, and may then upload those only. Uploads beyond the
// limit that nobody waited for are counted, or the limit would be none.

// Sparing says whether an account is to be spared a method's limit.
type Sparing func(context.Context, AccountCaller) (bool, error)

// spareMisses is how often an account beyond the limit may ask for nothing, or upload what nobody waited for.
var spareMisses = limit.Bucket{Name: "spare-misses", Points: 100, Window: 24 * time.Hour}

// spared is what a call of a sparing method was charged.
type spared struct {
	group  *Group
	state  *state
	rule   LimitRule
	key    string
	beyond bool // it was charged nothing: the limit is used up
}

func (s *spared) ask(ctx context.Context, c AccountCaller, of Sparing) (bool, error) {
	t := s.state.Tenant
	if s.group.limits.Look(t.Schema, s.key, 1, t.Settings.RateLimitPercent, spareMisses).Refused {
		return false, nil
	}
	ok, err := of(ctx, c)
	if err == nil && !ok {
		s.miss()
	}
	s.beyond = ok
	return ok, err
}

func (s *spared) miss() {
	t := s.state.Tenant
	s.group.limits.Take(t.Schema, s.key, 1, t.Settings.RateLimitPercent, spareMisses)
}

// Spared says that the call is beyond the limit: it may do only what it was spared for.
func (c AccountCaller) Spared() bool {
	s := c.state.spare
	return s != nil && s.beyond
}

// Settle ends a call of a method that spares, whose error is err: served says that it did what the limit is not there
// for, wasted that it would have used the limit up.
func (c AccountCaller) Settle(served, wasted bool, err error) error {
	s := c.state.spare
	switch {
	case s == nil:
		return err
	case s.beyond && wasted:
		s.miss()
		now := s.group.now()
		t := s.state.Tenant
		v := s.group.limits.Look(t.Schema, s.key, 1, t.Settings.RateLimitPercent, s.rule.Buckets...)
		return s.state.slowDown(time.Duration(v.RetryAfter(now)) * time.Second)
	case err == nil && served && !s.beyond:
		t := s.state.Tenant
		before := s.group.limits.Look(t.Schema, s.key, 1, t.Settings.RateLimitPercent, s.rule.Buckets...)
		s.group.limits.Give(t.Schema, s.key, 1, t.Settings.RateLimitPercent, s.rule.Buckets...)
		if v := s.state.verdict; v.Limit == before.Limit && v.Window == before.Window {
			s.state.verdict = limit.Verdict{} // the headers tell what is left now
			before.Remaining, before.Refused = before.Remaining+1, false
			_ = s.state.judge(before, s.group.now())
		}
	}
	return err
}
