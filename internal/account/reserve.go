package account

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/keyring"
	"github.com/auroralocus/locus/internal/tenant"
)

// ErrReservations: 429 RateLimitExceeded "Too many signing keys are reserved". Anybody may ask for one.
var ErrReservations = errors.New("too many reserved signing keys")

// How long a reserved key waits for its account, and how many of a tenant's may wait. A key for nobody in particular
// only an operator can use.
const (
	reservedLife   = 7 * 24 * time.Hour
	reservedNobody = 24 * time.Hour
	maxReserved    = 10_000
	// reservedOwner is the account key that reserved keys are sealed for: no account has it.
	reservedOwner = 0
)

// Reservation is a signing key made before its account.
type Reservation struct {
	DID    string // "": for nobody in particular
	Key    *keyring.Signer
	sealed []byte
	now    time.Time
}

// NewReservation makes a key, not stored yet.
func NewReservation(keys *keyring.Keyring, t *tenant.Tenant, did string, now time.Time) (*Reservation, error) {
	key, err := keys.GenerateSigningKey()
	if err != nil {
		return nil, fmt.Errorf("make signing key: %w", err)
	}
	sealed, err := keys.SealSigningKey(t.Schema.String(), reservedOwner, key)
	if err != nil {
		return nil, fmt.Errorf("seal signing key: %w", err)
	}
	return &Reservation{DID: did, Key: key, sealed: sealed, now: now}, nil
}

// Store stores the key and gives its did:key, or that of the one that the DID has already. Errors: [ErrReservations].
func (r *Reservation) Store(ctx context.Context, q *tenantdb.Queries) (public string, err error) {
	life := reservedNobody
	if r.DID != "" {
		life = reservedLife
		if err := q.DeleteExpiredReservedKeyOf(ctx, tenantdb.DeleteExpiredReservedKeyOfParams{DID: r.DID, Now: r.now}); err != nil {
			return "", fmt.Errorf("delete expired reserved key: %w", err)
		}
	}
	n, err := q.InsertReservedKey(ctx, tenantdb.InsertReservedKeyParams{
		Public: r.Key.PublicDIDKey(), DID: optional(r.DID), Sealed: r.sealed, CreatedAt: r.now, ExpiresAt: r.now.Add(life), MaxRows: maxReserved,
	})
	if err != nil {
		return "", fmt.Errorf("insert reserved key: %w", err)
	}
	if n == 1 {
		return r.Key.PublicDIDKey(), nil
	}
	if r.DID == "" {
		return "", ErrReservations
	}
	row, err := q.GetReservedKey(ctx, tenantdb.GetReservedKeyParams{DID: r.DID, Now: r.now})
	if db.IsNoRows(err) {
		return "", ErrReservations
	}
	if err != nil {
		return "", fmt.Errorf("look for reserved key: %w", err)
	}
	return row.Public, nil
}

// takeReserved gives the key reserved for a DID and uses the reservation up; nil when there is none.
func takeReserved(ctx context.Context, q *tenantdb.Queries, keys *keyring.Keyring, t *tenant.Tenant, did string, now time.Time) (*keyring.Signer, error) {
	row, err := q.GetReservedKey(ctx, tenantdb.GetReservedKeyParams{DID: did, Now: now})
	if db.IsNoRows(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for reserved key: %w", err)
	}
	key, err := keys.Signer(t.Schema.String(), reservedOwner, row.Sealed)
	if err != nil {
		return nil, fmt.Errorf("open reserved key: %w", err)
	}
	if err := q.DeleteReservedKey(ctx, did); err != nil {
		return nil, fmt.Errorf("use reserved key: %w", err)
	}
	return key, nil
}
