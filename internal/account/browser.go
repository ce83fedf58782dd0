package account

import (
	"context"
	"fmt"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
)

const (
	// ProvenTime is how long it counts that an account's owner was asked again who it is.
	ProvenTime = 10 * time.Minute
	// TrustTime is how long a browser that its owner trusts is asked for no second factor.
	TrustTime = 30 * 24 * time.Hour
	// maxTrusted bounds a list of trusted browsers.
	maxTrusted = 100
)

// Browser is one browser of an account's owner, by the name that its cookie leads to. "" is none: of apps, and of callers
// whose browser keeps no cookies.
type Browser struct {
	Device  string
	Agent   string // in words
	Address string
}

// Shown says what the owner of an account has shown in a browser: when it was last asked again who it is (zero: not, or
// too long ago), and whether the browser is trusted.
func Shown(ctx context.Context, q *tenantdb.Queries, now time.Time, aid int64, device string) (proven time.Time, trusted bool, err error) {
	if device == "" {
		return time.Time{}, false, nil
	}
	row, err := q.GetBrowser(ctx, tenantdb.GetBrowserParams{AID: aid, Device: device})
	if db.IsNoRows(err) {
		return time.Time{}, false, nil
	}
	if err != nil {
		return time.Time{}, false, fmt.Errorf("browser of actor %d: %w", aid, err)
	}
	if row.ProvenAt != nil && now.Sub(*row.ProvenAt) < ProvenTime {
		proven = *row.ProvenAt
	}
	return proven, row.TrustedUntil != nil && row.TrustedUntil.After(now), nil
}

// SetProven notes that the owner has just shown who it is.
func SetProven(ctx context.Context, q *tenantdb.Queries, now time.Time, aid int64, b Browser) error {
	err := q.DeleteOldBrowsers(ctx, tenantdb.DeleteOldBrowsersParams{AID: aid, ProvenBefore: now.Add(-ProvenTime), Now: now})
	if err == nil {
		err = q.UpsertBrowserProven(ctx, tenantdb.UpsertBrowserProvenParams{AID: aid, Device: b.Device, Now: now, Agent: cut(b.Agent, 100), Address: cut(b.Address, 50)})
	}
	if err != nil {
		return fmt.Errorf("browser of actor %d: %w", aid, err)
	}
	return nil
}

// SetTrusted has a browser be asked for no second factor for [TrustTime].
func SetTrusted(ctx context.Context, q *tenantdb.Queries, now time.Time, aid int64, b Browser) error {
	err := q.DeleteOldBrowsers(ctx, tenantdb.DeleteOldBrowsersParams{AID: aid, ProvenBefore: now.Add(-ProvenTime), Now: now})
	if err == nil {
		err = q.UpsertBrowserTrusted(ctx, tenantdb.UpsertBrowserTrustedParams{
			AID: aid, Device: b.Device, Now: now, Until: now.Add(TrustTime), Agent: cut(b.Agent, 100), Address: cut(b.Address, 50),
		})
	}
	if err != nil {
		return fmt.Errorf("trust browser of actor %d: %w", aid, err)
	}
	return nil
}

// Trusted is a browser that is asked for no second factor.
type Trusted struct {
	Browser
	Since, Until time.Time
}

// TrustedBrowsers lists an account's, newest first.
func TrustedBrowsers(ctx context.Context, q *tenantdb.Queries, now time.Time, aid int64) ([]Trusted, error) {
	rows, err := q.ListTrustedBrowsers(ctx, tenantdb.ListTrustedBrowsersParams{AID: aid, Now: now, MaxRows: maxTrusted})
	if err != nil {
		return nil, fmt.Errorf("trusted browsers of actor %d: %w", aid, err)
	}
	out := make([]Trusted, len(rows))
	for i, r := range rows {
		out[i] = Trusted{Browser{r.Device, r.Agent, r.Address}, r.TrustedAt, r.TrustedUntil}
	}
	return out, nil
}

// Distrust ends the trust in one browser of an account, or in all: device "". It says how many were trusted.
func Distrust(ctx context.Context, q *tenantdb.Queries, aid int64, device string) (n int64, err error) {
	if device == "" {
		n, err = q.UpdateBrowsersDistrusted(ctx, aid)
	} else {
		n, err = q.UpdateBrowserDistrusted(ctx, tenantdb.UpdateBrowserDistrustedParams{AID: aid, Device: device})
	}
	if err != nil {
		return 0, fmt.Errorf("distrust browsers of actor %d: %w", aid, err)
	}
	return n, nil
}

// ForgetBrowser forgets what was shown in a browser: the account is signed out there.
func ForgetBrowser(ctx context.Context, q *tenantdb.Queries, aid int64, device string) error {
	if _, err := q.DeleteBrowser(ctx, tenantdb.DeleteBrowserParams{AID: aid, Device: device}); err != nil {
		return fmt.Errorf("forget browser of actor %d: %w", aid, err)
	}
	return nil
}

// cut gives the first n characters.
func cut(s string, n int) string {
	r := []rune(s)
	return string(r[:min(len(r), n)])
}
