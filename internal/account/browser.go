package account

import (
	"context"
	"fmt"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
)

const (
	// TrustTime is how long a browser that its owner trusts is asked for no second factor.
	TrustTime = 30 * 24 * time.Hour
	// maxTrusted bounds a list of trusted browsers.
	maxTrusted = 100
)

// Trust has a browser be asked for no second factor of an account for [TrustTime]. device is its row's key.
func Trust(ctx context.Context, q *tenantdb.Queries, now time.Time, aid int64, device []byte) error {
	err := q.DeleteExpiredTrustedBrowsersOf(ctx, tenantdb.DeleteExpiredTrustedBrowsersOfParams{AID: aid, Now: now})
	if err == nil {
		err = q.UpsertTrustedBrowser(ctx, tenantdb.UpsertTrustedBrowserParams{AID: aid, Device: device, Now: now, ExpiresAt: now.Add(TrustTime)})
	}
	if err != nil {
		return fmt.Errorf("trust browser of actor %d: %w", aid, err)
	}
	return nil
}

// Trusts says whether a browser is asked for no second factor of an account. device nil is none that is known.
func Trusts(ctx context.Context, q *tenantdb.Queries, now time.Time, aid int64, device []byte) (bool, error) {
	if device == nil {
		return false, nil
	}
	until, err := q.GetTrustedBrowser(ctx, tenantdb.GetTrustedBrowserParams{AID: aid, Device: device})
	if db.IsNoRows(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("trusted browser of actor %d: %w", aid, err)
	}
	return until.After(now), nil
}

// Trusted is a browser that is asked for no second factor.
type Trusted struct {
	Device         []byte // its key
	Agent, Address string // when it was last seen
	Since, Until   time.Time
}

// TrustedBrowsers lists an account's, newest first.
func TrustedBrowsers(ctx context.Context, q *tenantdb.Queries, now time.Time, aid int64) ([]Trusted, error) {
	rows, err := q.ListTrustedBrowsers(ctx, tenantdb.ListTrustedBrowsersParams{AID: aid, Now: now, MaxRows: maxTrusted})
	if err != nil {
		return nil, fmt.Errorf("trusted browsers of actor %d: %w", aid, err)
	}
	out := make([]Trusted, len(rows))
	for i, r := range rows {
		out[i] = Trusted{r.Device, r.Agent, r.Address, r.TrustedAt, r.ExpiresAt}
	}
	return out, nil
}

// Distrust ends the trust in one browser of an account, or in all: device nil. It says how many were trusted.
func Distrust(ctx context.Context, q *tenantdb.Queries, aid int64, device []byte) (n int64, err error) {
	if device == nil {
		n, err = q.DeleteTrustedBrowsersOf(ctx, aid)
	} else {
		n, err = q.DeleteTrustedBrowser(ctx, tenantdb.DeleteTrustedBrowserParams{AID: aid, Device: device})
	}
	if err != nil {
		return 0, fmt.Errorf("distrust browsers of actor %d: %w", aid, err)
	}
	return n, nil
}

// cut gives the first n characters.
func cut(s string, n int) string {
	r := []rune(s)
	return string(r[:min(len(r), n)])
}
