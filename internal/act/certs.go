package act

import (
	"context"

	"github.com/auroralocus/locus/internal/certs"
)

// RenewCertificate has a certificate made now, for the first time or anew. The processes that serve do it.
func (a *TenantActs) RenewCertificate(ctx context.Context, by Operator, w certs.Wanted) error {
	return a.logged(ctx, by, "tls renew", w.TenantID, deed{w.Subject, nil}, func() (int64, error) {
		return w.TenantID, certs.Renew(ctx, a.db.Control(), w, a.now().UTC())
	})
}

// RemoveCertificate forgets a certificate and its key. Errors: [certs.ErrNotFound].
func (a *TenantActs) RemoveCertificate(ctx context.Context, by Operator, of certs.Info) error {
	return a.logged(ctx, by, "tls remove", of.TenantID, deed{of.Subject, nil}, func() (int64, error) {
		return of.TenantID, certs.Remove(ctx, a.db.Control(), of.Subject, a.now().UTC())
	})
}
