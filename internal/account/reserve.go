package account

import (
	"context"
	"fmt"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/fair"
	"github.com/auroralocus/locus/internal/keyring"
	"github.com/auroralocus/locus/internal/tenant"
)

// How long a reserved key waits for its account, and how many may wait: of a tenant, for one network (of IPv6 its 48 bits)
// and for one address (of IPv6 its 64 bits). Anybody may ask for one, and nobody is refused: the oldest go of who has most.
// A key for nobody in particular only an operator can use.
const (
	reservedLife   = 7 * 24 * time.Hour
	reservedNobody = 24 * time.Hour
	maxReserved    = 10_000
	maxOfNetwork   = 2000
	maxOfAddress   = 1000
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

// Store stores the key and gives its did:key, or that of the one that the DID has already. from is who asks; the zero Path
// is an operator.
func (r *Reservation) Store(ctx context.Context, q *tenantdb.Queries, from fair.Path) (public string, err error) {
	life := reservedNobody
	if r.DID != "" {
		life = reservedLife
		row, err := q.GetReservedKey(ctx, tenantdb.GetReservedKeyParams{DID: r.DID, Now: r.now})
		if err == nil {
			return row.Public, nil
		}
		if !db.IsNoRows(err) {
			return "", fmt.Errorf("look for reserved key: %w", err)
		}
		if err := q.DeleteExpiredReservedKeyOf(ctx, tenantdb.DeleteExpiredReservedKeyOfParams{DID: r.DID, Now: r.now}); err != nil {
			return "", fmt.Errorf("delete expired reserved key: %w", err)
		}
	}
	var network, address string
	if len(from) > 1 {
		network, address = from[1], from[len(from)-1]
	}
	if err := makeRoom(ctx, q, network, address); err != nil {
		return "", fmt.Errorf("make room for reserved key: %w", err)
	}
	n, err := q.InsertReservedKey(ctx, tenantdb.InsertReservedKeyParams{
		Public: r.Key.PublicDIDKey(), DID: optional(r.DID), Sealed: r.sealed, CreatedAt: r.now, ExpiresAt: r.now.Add(life),
		Network: network, Address: address,
	})
	if err != nil {
		return "", fmt.Errorf("insert reserved key: %w", err)
	}
	if n == 1 {
		return r.Key.PublicDIDKey(), nil
	}
	row, err := q.GetReservedKey(ctx, tenantdb.GetReservedKeyParams{DID: r.DID, Now: r.now}) // another call's, of this moment
	if err != nil {
		return "", fmt.Errorf("look for reserved key: %w", err)
	}
	return row.Public, nil
}

// makeRoom deletes old keys where one more would be too many: the asker's own if it has its share, else those of who has
// most. Whoever moves here needs its key for minutes.
func makeRoom(ctx context.Context, q *tenantdb.Queries, network, address string) error {
	count, err := q.CountReservedKeys(ctx, tenantdb.CountReservedKeysParams{Network: network, Address: address})
	if err != nil {
		return err
	}
	drop := tenantdb.DeleteCrowdingReservedKeysParams{}
	switch {
	case network != "" && count.OfAddress >= maxOfAddress:
		drop = tenantdb.DeleteCrowdingReservedKeysParams{Network: network, Address: address, MaxRows: int32(count.OfAddress - maxOfAddress + 1)}
	case network != "" && count.OfNetwork >= maxOfNetwork:
		drop = tenantdb.DeleteCrowdingReservedKeysParams{Network: network, MaxRows: int32(count.OfNetwork - maxOfNetwork + 1)}
	case count.Total >= maxReserved:
		drop.MaxRows = int32(count.Total - maxReserved + 1)
	default:
		return nil
	}
	_, err = q.DeleteCrowdingReservedKeys(ctx, drop)
	return err
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
