package act

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
	"github.com/auroralocus/locus/internal/passkey"
	"github.com/auroralocus/locus/internal/tenant"
)

// The guard slows down whoever tries passwords out. It counts refused sign-ins in a row three ways: from one address
// for one account, from one address for any, and for one account from anywhere. Sign-ins under way count as refused. So
// trying many at once gains nothing, and costs no more hashing. The first two make the address wait, twice as long each
// time; the third only makes each answer slower, so that nobody can lock another out. Accounts that do not exist are
// counted by what was typed, like those that do.
const (
	PairFree    = 5               // wrong passwords for one account from one address before it must wait
	AddressFree = 50              // for any
	accountFree = 20              // for one account from anywhere before answers become slow
	CodeFree    = 5               // wrong codes of an account's authenticator app from anywhere before the next must wait
	CodeWait    = 5 * time.Minute // the first time, and twice as long each time after
	MaxCodeWait = 24 * time.Hour
	MaxWait     = 15 * time.Minute
	maxSlow     = 5 * time.Second
	Forgiven    = 24 * time.Hour
	// codeForgiven is longer than an account waits: else each day would begin anew.
	codeForgiven = 2 * MaxCodeWait
)

// ResetMails and CodeMails are of the mails to one account, whoever asks for them.
var (
	ResetMails = []limit.Bucket{{Name: "reset-mail-1h", Points: 5, Window: time.Hour}, {Name: "reset-mail-1d", Points: 15, Window: 24 * time.Hour}}
	CodeMails  = []limit.Bucket{{Name: "code-mail-1m", Points: 2, Window: time.Minute}}
)

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

// attempt is one sign-in on its way.
type attempt struct {
	way                 *underWay
	told                func(ctx context.Context, err error) // of a failure
	now                 func() time.Time
	tdb                 *db.Tenant
	pair, account, addr string // "" when nothing is counted
	failed              bool   // before
}

// enter begins a sign-in: it refuses who must wait. Without an error leave is called. Errors: [WaitError].
func (a *Acts) enter(ctx context.Context, t *tenant.Tenant, v Visitor, identifier string) (try attempt, err error) {
	try = attempt{way: a.way, now: a.Now, tdb: a.DB.Tenant(t.Schema)}
	try.told = func(ctx context.Context, err error) { a.failedSignin(ctx, t, v, err) }
	if !v.Counted {
		return try, nil
	}
	id, addr := accounts.Identifier(identifier), v.address()
	try.pair, try.account, try.addr = failureKey("p", id, addr), failureKey("a", id), failureKey("d", addr)
	others := try.way.begin(try.underWay()...)
	defer func() {
		if err != nil {
			try.way.end(try.underWay()...)
		}
	}()
	rows, err := try.tdb.Q().ListSigninFailures(ctx, []string{try.pair, try.account, try.addr})
	if err != nil {
		return try, fmt.Errorf("failed sign-ins: %w", err)
	}
	now := try.now()
	var wait, slow time.Duration
	pair, address := others[0], others[1] // in a row, with those that may become so
	for _, r := range rows {
		since := now.Sub(r.LastAt)
		if since > Forgiven {
			continue
		}
		try.failed = true
		switch r.Key {
		case try.pair:
			wait = max(wait, growing(int(r.Failures)-PairFree, time.Second, MaxWait)-since)
			pair += int(r.Failures)
		case try.addr:
			wait = max(wait, growing((int(r.Failures)-AddressFree)/10, time.Second, MaxWait)-since)
			address += int(r.Failures)
		case try.account:
			slow = growing((int(r.Failures)-accountFree)/10, 100*time.Millisecond, maxSlow)
		}
	}
	if others[0] > 0 && pair >= PairFree || others[1] > 0 && address >= AddressFree {
		wait = max(wait, time.Second)
	}
	if wait > 0 {
		return try, &WaitError{wait}
	}
	return try, pause(ctx, slow)
}

// pause waits, unless ctx ends before.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// underWay is as what a sign-in counts while it is not over, within its tenant.
func (try attempt) underWay() []string {
	schema := try.tdb.Schema().String()
	return []string{schema + try.pair, schema + try.addr}
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
func (try attempt) leave(ctx context.Context, err error) error {
	wrong := errors.Is(err, accounts.ErrCredentials) || errors.Is(err, accounts.ErrTokenInvalid) || errors.Is(err, passkey.ErrRefused)
	if wrong {
		try.told(ctx, err)
	}
	if try.pair == "" {
		return err
	}
	ctx = context.WithoutCancel(ctx)
	defer try.way.end(try.underWay()...)
	switch {
	case err == nil && try.failed:
		if err := try.tdb.Q().DeleteSigninFailures(ctx, []string{try.pair, try.account}); err != nil {
			return fmt.Errorf("failed sign-ins: %w", err)
		}
	case wrong:
		keys := []string{try.pair, try.account, try.addr}
		slices.Sort(keys) // two at once take the rows in one order
		now := try.now()
		if e := try.tdb.Q().UpsertSigninFailure(ctx, tenantdb.UpsertSigninFailureParams{Keys: keys, Now: now, Since: now.Add(-Forgiven)}); e != nil {
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

// mayMail counts a mail that a stranger, or somebody with a password alone, makes us send to an account's owner. Nobody
// is told when it is one too many: the code that was mailed before is still good.
func (a *Acts) mayMail(t *tenant.Tenant, v Visitor, did string, most ...limit.Bucket) bool {
	if !v.Counted || a.Limits == nil {
		return true
	}
	return !a.Limits.Take(t.Schema, did, 1, t.Settings.RateLimitPercent, most...).Refused
}

// guess counts a code of six digits before anybody looks at it. Whoever gets that far knows the main password, so here
// the account itself waits, whatever address the next code comes from: a million codes are few for somebody with many
// addresses. Backup codes and mailed ones are long enough, and stay a way in meanwhile, as do passkeys and browsers that
// are trusted: whoever has no password cannot lock the owner out, and who has it cannot do so for good. guessed ends the
// row.
// Errors: [WaitError].
func (a *Acts) guess(ctx context.Context, t *tenant.Tenant, v Visitor, did string, factors accounts.Factors, code string) (guessed func(context.Context) error, err error) {
	if !factors.App || !accounts.IsAppCode(code) || !v.Counted {
		return func(context.Context) error { return nil }, nil
	}
	q, now, key := a.DB.Tenant(t.Schema).Q(), a.Now(), failureKey("c", did)
	n, err := q.UpsertCodeGuess(ctx, tenantdb.UpsertCodeGuessParams{
		Key: key, Now: now, Since: now.Add(-codeForgiven), Free: CodeFree, Unit: CodeWait.Seconds(), Most: MaxCodeWait.Seconds(),
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
			wait = max(wait, growing(int(r.Failures)-CodeFree, CodeWait, MaxCodeWait)-now.Sub(r.LastAt))
		}
		return nil, &WaitError{wait}
	}
	return func(ctx context.Context) error {
		if err := q.DeleteSigninFailures(context.WithoutCancel(ctx), []string{key}); err != nil {
			return fmt.Errorf("forget guessed codes: %w", err)
		}
		return nil
	}, nil
}
