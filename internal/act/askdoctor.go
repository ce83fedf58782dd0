package act

import (
	"context"

	"github.com/auroralocus/locus/internal/doctor"
)

// AskDoctor has a server look at the deployment soon.
func (a *TenantActs) AskDoctor(ctx context.Context, by Operator) error {
	return a.logged(ctx, by, "doctor ask", 0, deed{}, func() (int64, error) { return 0, doctor.Ask(ctx, a.db, a.now()) })
}
