package certs

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/caddyserver/certmagic"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/controldb"
)

// State is where a certificate is in its life, as stored in control.tls_name.state.
type State int16

// The states of a certificate.
const (
	Waiting State = 0 // wanted for the first time
	Valid   State = 1
	Failed  State = 2 // it could not be had, and is tried again
	GivenUp State = 3 // nobody has its name any more
	Removed State = 4 // by an operator
)

func (s State) String() string {
	switch s {
	case Waiting:
		return "waiting"
	case Valid:
		return "valid"
	case Failed:
		return "failed"
	case GivenUp:
		return "given up"
	case Removed:
		return "removed"
	}
	return "unknown"
}

// Info is what is known of a certificate.
type Info struct {
	Subject   string
	TenantID  int64
	State     State
	WantedAt  time.Time
	NextAt    time.Time // when something is done about it
	Attempts  int       // failed ones since the last that succeeded
	Error     string    // why it failed, or waits
	Serial    string
	Issuer    string
	NotBefore *time.Time
	NotAfter  *time.Time
	RenewAt   *time.Time
}

func infoOf(r controldb.TlsName) Info {
	return Info{
		Subject: r.Subject, TenantID: r.TenantID, State: State(r.State), WantedAt: r.WantedAt, NextAt: r.DueAt, Attempts: int(r.Attempts),
		Error: r.Error, Serial: r.Serial, Issuer: r.Issuer, NotBefore: r.NotBefore, NotAfter: r.NotAfter, RenewAt: r.RenewAt,
	}
}

const listPage = 1000

// List gives the certificates of one tenant, or of all (0), by their subjects, at most max.
func List(ctx context.Context, q *controldb.Queries, tenantID int64, max int) (out []Info, err error) {
	if tenantID != 0 {
		rows, err := q.ListTLSNamesOfTenant(ctx, controldb.ListTLSNamesOfTenantParams{TenantID: tenantID, MaxRows: int32(max)})
		for _, r := range rows {
			out = append(out, infoOf(r))
		}
		return out, err
	}
	for after := ""; len(out) < max; {
		rows, err := q.ListTLSNames(ctx, controldb.ListTLSNamesParams{After: after, MaxRows: int32(min(listPage, max-len(out)))})
		if err != nil || len(rows) == 0 {
			return out, err
		}
		for _, r := range rows {
			out, after = append(out, infoOf(r)), r.Subject
		}
	}
	return out, nil
}

// Get gives the certificate of a subject. Errors: [ErrNotFound].
func Get(ctx context.Context, q *controldb.Queries, subject string) (Info, error) {
	r, err := q.GetTLSName(ctx, Normal(subject))
	if db.IsNoRows(err) {
		return Info{}, fmt.Errorf("%w: %.100q", ErrNotFound, subject)
	}
	return infoOf(r), err
}

// Serving gives the certificate that a name is served by: its own, or a wildcard. Errors: [ErrNotFound].
func Serving(ctx context.Context, q *controldb.Queries, name string) (Info, error) {
	i, err := Get(ctx, q, name)
	if errors.Is(err, ErrNotFound) {
		if w, wildErr := Get(ctx, q, wildcardOf(Normal(name))); wildErr == nil {
			return w, nil
		}
	}
	return i, err
}

// Renew wants a certificate made now: anew where it is there, else for the first time.
func Renew(ctx context.Context, q *controldb.Queries, w Wanted, now time.Time) error {
	if err := want(ctx, q, w, now); err != nil {
		return err
	}
	_, err := q.UpdateTLSNameForced(ctx, controldb.UpdateTLSNameForcedParams{Now: now, Subject: w.Subject})
	return err
}

// Remove forgets a certificate and its key, in all processes. Where its name is still somebody's, the next handshake has
// one made anew. Errors: [ErrNotFound].
func Remove(ctx context.Context, q *controldb.Queries, subject string, now time.Time) error {
	subject = Normal(subject)
	n, err := q.UpdateTLSNameRemoved(ctx, controldb.UpdateTLSNameRemovedParams{Now: now, Subject: subject})
	if err == nil && n == 0 {
		err = fmt.Errorf("%w: %.100q", ErrNotFound, subject)
	}
	if err != nil {
		return err
	}
	return forgetItems(ctx, q, subject)
}

// forgetItems takes a certificate and its key out of the store, whichever authority it is from.
func forgetItems(ctx context.Context, q *controldb.Queries, subject string) error {
	issuers, err := q.ListTLSItems(ctx, controldb.ListTLSItemsParams{After: "certificates/", Before: "certificates0", MaxRows: maxItems})
	if err != nil {
		return err
	}
	done := map[string]bool{}
	for _, item := range issuers {
		issuer := issuerIn(item)
		if issuer == "" || done[issuer] {
			continue
		}
		done[issuer] = true
		folder := certmagic.StorageKeys.CertsSitePrefix(issuer, subject)
		after, before := under(folder)
		if _, err := q.DeleteTLSItems(ctx, controldb.DeleteTLSItemsParams{Item: folder, After: after, Before: before}); err != nil {
			return err
		}
	}
	return nil
}

// issuerIn is the authority in a certificate's path.
func issuerIn(item string) string {
	parts := strings.Split(item, "/")
	if len(parts) < 3 {
		return ""
	}
	return parts[1]
}
