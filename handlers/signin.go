package handlers

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
	accounts "github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/limit"
)

// signinGuard slows down whoever tries passwords out. It counts refused sign-ins in a row three ways: from one address
// for one account, from one address for any, and for one account from anywhere. Those that are under way count as refused,
// so that many at once are no way around, and take no more of what hashing takes. The first two make the address wait,
// twice as long each time; the third only makes each answer slower, so that nobody can lock another out. Accounts that
// do not exist are counted by what was typed, like those that do.
type signinGuard struct {
	db     *db.DB
	limits *limit.Counter
	now    func() time.Time
	way    *underWay
}

// underWay counts the sign-ins of this process whose end is not known yet.
type underWay struct {
	mu sync.Mutex
	n  map[string]int
}

func (u *underWay) begin(keys ...string) (others []int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, k := range keys {
		others = append(others, u.n[k])
		u.n[k]++
	}
	return others
}

func (u *underWay) end(keys ...string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, k := range keys {
		if u.n[k]--; u.n[k] <= 0 {
			delete(u.n, k)
		}
	}
}

const (
	pairFree    = 5  // wrong passwords for one account from one address before it must wait
	addressFree = 50 // for any
	accountFree = 20 // for one account from anywhere before answers become slow
	codeFree    = 10 // wrong codes of an account's authenticator app from anywhere before the next must wait
	maxWait     = 15 * time.Minute
	maxSlow     = 5 * time.Second
	forgiven    = 24 * time.Hour
)

// attempt is one sign-in on its way.
type attempt struct {
	guard               signinGuard
	tdb                 *db.Tenant
	pair, account, addr string // "" when nothing is counted
	failed              bool   // before
}

// enter begins a sign-in: it refuses who must wait. Without an error leave is called.
func (g signinGuard) enter(ctx context.Context, v visitor, identifier string) (a attempt, err error) {
	a = attempt{guard: g, tdb: g.db.Tenant(v.Tenant.Schema)}
	if !v.limited() {
		return a, nil
	}
	id, addr := accounts.Identifier(identifier), addressKey(v.Addr())
	a.pair, a.account, a.addr = failureKey("p", id, addr), failureKey("a", id), failureKey("d", addr)
	others := g.way.begin(a.underWay()...)
	defer func() {
		if err != nil {
			g.way.end(a.underWay()...)
		}
	}()
	rows, err := a.tdb.Q().ListSigninFailures(ctx, []string{a.pair, a.account, a.addr})
	if err != nil {
		return a, fmt.Errorf("failed sign-ins: %w", err)
	}
	now := g.now()
	var wait, slow time.Duration
	pair, address := others[0], others[1] // in a row, with those that may become so
	for _, r := range rows {
		since := now.Sub(r.LastAt)
		if since > forgiven {
			continue
		}
		a.failed = true
		switch r.Key {
		case a.pair:
			wait = max(wait, growing(int(r.Failures)-pairFree, time.Second, maxWait)-since)
			pair += int(r.Failures)
		case a.addr:
			wait = max(wait, growing((int(r.Failures)-addressFree)/10, time.Second, maxWait)-since)
			address += int(r.Failures)
		case a.account:
			slow = growing((int(r.Failures)-accountFree)/10, 100*time.Millisecond, maxSlow)
		}
	}
	if others[0] > 0 && pair >= pairFree || others[1] > 0 && address >= addressFree {
		wait = max(wait, time.Second)
	}
	if wait > 0 {
		return a, v.slowDown(wait)
	}
	if slow > 0 {
		t := time.NewTimer(slow)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
			return a, ctx.Err()
		}
	}
	return a, nil
}

// underWay is as what a sign-in counts while it is not over, within its tenant.
func (a attempt) underWay() []string {
	schema := a.tdb.Schema().String()
	return []string{schema + a.pair, schema + a.addr}
}

// growing is 0 below 0, and else unit, doubled n times, at most most.
func growing(n int, unit, most time.Duration) time.Duration {
	if n < 0 {
		return 0
	}
	if n > 30 {
		return most
	}
	return min(unit<<n, most)
}

// leave ends it: err is what came of it. A success forgets the account's failures, not the address's: else somebody
// with an account of their own could try others' in between.
func (a attempt) leave(ctx context.Context, err error) error {
	if a.pair == "" {
		return err
	}
	ctx = context.WithoutCancel(ctx)
	defer a.guard.way.end(a.underWay()...)
	switch {
	case err == nil && a.failed:
		if err := a.tdb.Q().DeleteSigninFailures(ctx, []string{a.pair, a.account}); err != nil {
			return fmt.Errorf("failed sign-ins: %w", err)
		}
	case errors.Is(err, accounts.ErrCredentials), errors.Is(err, accounts.ErrTokenInvalid):
		keys := []string{a.pair, a.account, a.addr}
		slices.Sort(keys) // two at once take the rows in one order
		now := a.guard.now()
		if e := a.tdb.Q().UpsertSigninFailure(ctx, tenantdb.UpsertSigninFailureParams{Keys: keys, Now: now, Since: now.Add(-forgiven)}); e != nil {
			return fmt.Errorf("failed sign-ins: %w", e)
		}
	}
	return err
}

// failureKey hides what was typed: people type passwords into the wrong field.
func failureKey(kind string, parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return kind + hex.EncodeToString(sum[:16])
}

// mayMail counts a mail that a stranger, or somebody with a password alone, makes us send to an account's owner. Where it
// is one too many nobody is told: the code that is out is still good.
func (g signinGuard) mayMail(v visitor, did string, most ...limit.Bucket) bool {
	if !v.limited() {
		return true
	}
	return !g.limits.Take(v.Tenant.Schema, did, 1, v.Tenant.Settings.RateLimitPercent, most...).Refused
}

// guess counts a code of six digits before anybody looks at it. Whoever gets that far knows the main password, so here
// the account itself waits, whatever address the next code comes from: a million codes are few for somebody with many
// addresses. Backup codes and mailed ones are long enough, and stay a way in meanwhile. guessed ends the row.
func (g signinGuard) guess(ctx context.Context, v visitor, did string, factors accounts.Factors, code string) (guessed func(context.Context) error, err error) {
	nothing := func(context.Context) error { return nil }
	if !factors.App || !accounts.IsAppCode(code) || !v.limited() {
		return nothing, nil
	}
	q, now, key := g.db.Tenant(v.Tenant.Schema).Q(), g.now(), failureKey("c", did)
	n, err := q.UpsertCodeGuess(ctx, tenantdb.UpsertCodeGuessParams{
		Key: key, Now: now, Since: now.Add(-forgiven), Free: codeFree, Most: maxWait.Seconds(),
	})
	if err != nil {
		return nil, fmt.Errorf("count guessed code: %w", err)
	}
	if n == 0 {
		rows, err := q.ListSigninFailures(ctx, []string{key})
		if err != nil {
			return nil, fmt.Errorf("guessed codes: %w", err)
		}
		wait := time.Second
		for _, r := range rows {
			wait = max(wait, growing(int(r.Failures)-codeFree, time.Second, maxWait)-now.Sub(r.LastAt))
		}
		return nil, v.slowDown(wait)
	}
	return func(ctx context.Context) error {
		if err := q.DeleteSigninFailures(context.WithoutCancel(ctx), []string{key}); err != nil {
			return fmt.Errorf("forget guessed codes: %w", err)
		}
		return nil
	}, nil
}
