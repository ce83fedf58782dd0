package account

import (
	"context"
	"fmt"
	"time"

	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/tenant"
)

// Dates are when a tenant has something for the sweep; the zero time: nothing that is known.
type Dates struct {
	Accounts time.Time // for Accounts; of sign-ups only, the rest is due.Ask's
	Expiries time.Time // for Expire
}

// Accounts deletes a tenant's accounts whose date has come, removes what is left of deleted ones and of sign-ups that were
// cut off, and counts records that nobody counted.
func (s *Sweeper) Accounts(ctx context.Context, t *tenant.Tenant) error {
	if err := s.sweep(ctx, t); err != nil {
		return fmt.Errorf("sweep %s: %w", t.Hostname, err)
	}
	return nil
}

// Expire deletes what has run out, and says what does next.
func (s *Sweeper) Expire(ctx context.Context, t *tenant.Tenant) (Dates, error) {
	if err := s.expire(ctx, t, s.now()); err != nil {
		return Dates{}, fmt.Errorf("sweep %s: %w", t.Hostname, err)
	}
	return s.Dates(ctx, t)
}

// Dates asks a tenant's schema what expires next.
func (s *Sweeper) Dates(ctx context.Context, t *tenant.Tenant) (Dates, error) {
	row, err := s.db.Tenant(t.Schema).Q().GetExpiryDates(ctx)
	if err != nil {
		return Dates{}, fmt.Errorf("what expires next in %s: %w", t.Hostname, err)
	}
	return Dates{Accounts: earliest(after(row.Signup, StaleAfter), after(row.Rejected, tombstoneTime)), Expiries: nextExpiry(&row)}, nil
}

func nextExpiry(row *tenantdb.GetExpiryDatesRow) time.Time {
	return earliest(
		after(row.RefreshToken, 0), after(row.DeviceAccount, 0), after(row.Device, 0), after(row.OauthSession, 0), after(row.OauthRequest, 0),
		after(row.EmailToken, expiredKept), after(row.ReservedKey, 0), after(row.ServiceNonce, 0), after(time.Unix(row.OauthProof, 0), 0),
		after(row.OperatorToken, mailKept), after(row.SigninFailure, failureKept), after(time.Unix(row.Tally, 0), 0), after(row.Mail, mailKept),
	)
}

// after is a date of the database and some time; the epoch is none.
func after(at time.Time, d time.Duration) time.Time {
	if at.Unix() == 0 {
		return time.Time{}
	}
	return at.Add(d)
}

// earliest leaves zero times out.
func earliest(dates ...time.Time) (first time.Time) {
	for _, at := range dates {
		if !at.IsZero() && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	return first
}
