package signin

import (
	"strconv"
	"time"

	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/limit"
	"github.com/auroralocus/locus/internal/web"
)

// The limits of one tenant, for each address. docs/limits.md has them for people. Nobody can lock an account's owner out:
// what is counted for an account from anywhere makes answers slower, and no more (act).
var (
	signIns     = []limit.Bucket{{Name: "page-sign-in-5m", Points: 100, Window: 5 * time.Minute}}
	signInsOf   = []limit.Bucket{{Name: "page-sign-in-of-5m", Points: 30, Window: 5 * time.Minute}, {Name: "page-sign-in-of-1d", Points: 300, Window: 24 * time.Hour}}
	resets      = []limit.Bucket{{Name: "page-reset-1h", Points: 15, Window: time.Hour}, {Name: "page-reset-1d", Points: 50, Window: 24 * time.Hour}}
	signUps     = []limit.Bucket{{Name: "page-sign-up-5m", Points: 100, Window: 5 * time.Minute}}
	handleLooks = []limit.Bucket{{Name: "page-handle-5m", Points: 300, Window: 5 * time.Minute}}
)

// take counts something that somebody does. It says how long to wait; 0: it may be done.
func (p *Pages) take(v *web.Visit, buckets []limit.Bucket) time.Duration {
	return p.takeFor(v, address(v), buckets)
}

func (p *Pages) takeFor(v *web.Visit, key string, buckets []limit.Bucket) time.Duration {
	if p.Limits == nil || !v.Caller.Limited() {
		return 0
	}
	verdict := p.Limits.Take(v.Tenant.Schema, key, 1, v.Tenant.Settings.RateLimitPercent, buckets...)
	if !verdict.Refused {
		return 0
	}
	return time.Duration(verdict.RetryAfter(v.Now())) * time.Second
}

// mayTry counts an attempt to sign in, before anything is hashed. identifier is who it is about; "": it is not said.
func (p *Pages) mayTry(v *web.Visit, identifier string) time.Duration {
	if wait := p.take(v, signIns); wait > 0 || identifier == "" {
		return wait
	}
	return p.takeFor(v, account.Identifier(identifier)+" "+address(v), signInsOf)
}

// address is what limits of an address are counted by: the network of whoever looks.
func address(v *web.Visit) string {
	path := v.Caller.Path()
	return path[len(path)-1]
}

// minutes is a wait as pages tell it, never less than it is.
func minutes(wait time.Duration) int { return int((wait + time.Minute - 1) / time.Minute) }

func (v *visit) retryAfter(wait time.Duration) {
	v.W.Header().Set("Retry-After", strconv.FormatInt(int64((wait+time.Second-1)/time.Second), 10))
}
