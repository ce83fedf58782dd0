package account

import (
	"context"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/auroralocus/locus/internal/fair"

	"github.com/auroralocus/locus/db/tenantdb"
)

// Authenticate finds the account that an identifier and a main password mean. An unknown account, an account without a
// password and a wrong password get the same error, after the same work and after at least 350 ms. A hash that cost
// less than today's is replaced. from is who asks.
//
// The account may be taken down or deactivated: what that means for a session is the method's to say. q is for single
// statements, not a transaction's: the hash between them takes long. Errors: [ErrCredentials], [ErrPasswordTooLong],
// [ErrBusy].
func (p *Passwords) Authenticate(ctx context.Context, from fair.Path, q *tenantdb.Queries, identifier, password string) (*Account, error) {
	return p.authenticateSince(ctx, from, q, p.now(), identifier, password)
}

// authenticateSince counts the time from the request's beginning: what was looked up before, for some accounts more than
// for others, must not show.
func (p *Passwords) authenticateSince(ctx context.Context, from fair.Path, q *tenantdb.Queries, began time.Time, identifier, password string) (*Account, error) {
	if utf8.RuneCountInString(password) > maxLoginPassword {
		return nil, ErrPasswordTooLong
	}
	a, err := p.authenticate(ctx, from, q, identifier, password)
	if errors.Is(err, ErrCredentials) {
		wait(ctx, minFailure-p.now().Sub(began))
	}
	return a, err
}

func (p *Passwords) authenticate(ctx context.Context, from fair.Path, q *tenantdb.Queries, identifier, password string) (*Account, error) {
	stored := p.decoy
	a, err := ByIdentifier(ctx, q, identifier)
	switch {
	case err == nil && a.passwordHash != "":
		stored = a.passwordHash
	case err == nil:
		a = nil
	case !errors.Is(err, ErrNotFound):
		return nil, err
	}
	ok, cheap, err := p.verify(ctx, from, stored, password)
	if err != nil {
		return nil, err
	}
	if !ok || a == nil {
		return nil, ErrCredentials
	}
	if cheap {
		if err := p.rehash(ctx, from, q, a, password); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// rehash stores today's hash. A process too busy for that leaves it to the next sign-in.
func (p *Passwords) rehash(ctx context.Context, from fair.Path, q *tenantdb.Queries, a *Account, password string) error {
	fresh, err := p.Hash(ctx, from, password)
	if errors.Is(err, ErrBusy) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = q.UpdateAccountPasswordHash(ctx, tenantdb.UpdateAccountPasswordHashParams{AID: a.AID, NewHash: fresh, OldHash: a.passwordHash})
	if err != nil {
		return fmt.Errorf("replace password hash: %w", err)
	}
	return nil
}

func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
