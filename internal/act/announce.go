package act

import (
	"context"
	"errors"
	"strings"

	"github.com/did-method-plc/go-didplc"

	"github.com/auroralocus/locus/internal/identity"
	"github.com/auroralocus/locus/internal/tenant"
)

// plcTries is how often an operation is made anew because another came before it.
const plcTries = 3

// announcement is something that a DID's document is to say.
type announcement struct {
	named func(*identity.Document) error // of a document that its owner keeps: whether it says so
	done  func(*didplc.RegularOp) bool   // of a did:plc: whether its newest operation says so
	edit  func(*didplc.RegularOp)        // of a did:plc: makes an operation that does
}

// announce sees to it that a DID's document says something. A did:plc is changed with the tenant's rotation key, unless
// the owner of the DID's keys has done it already. A did:web is changed by its owner only, who must have done it
// before.
func (a *Acts) announce(ctx context.Context, t *tenant.Tenant, did string, what announcement) error {
	if !strings.HasPrefix(did, "did:plc:") {
		doc, err := a.Documents.Refresh(ctx, asker(t), did)
		if err != nil {
			return err
		}
		return what.named(doc)
	}
	rotation, err := a.Tenants.RotationSigner(ctx, t)
	if err != nil {
		return err
	}
	for range plcTries {
		last, lastErr := a.Directory.Last(ctx, did)
		if lastErr != nil {
			return lastErr
		}
		now, formErr := identity.RegularForm(last)
		if formErr != nil {
			return formErr
		}
		if what.done(now) {
			return nil
		}
		op, updateErr := identity.NewUpdate(last, rotation, what.edit)
		if updateErr != nil {
			return updateErr
		}
		if err = a.submit(ctx, t, did, op); !errors.Is(err, identity.ErrOperationConflict) {
			break
		}
	}
	return err
}

// asker is the tenant, for whose account something is looked up.
func asker(t *tenant.Tenant) identity.Asker { return identity.Asker{Scope: t.Schema.String()} }

// refreshDocument has what this process remembers of a DID fetched anew after a change of it.
func (a *Acts) refreshDocument(ctx context.Context, t *tenant.Tenant, did, of string) {
	if _, err := a.Documents.Refresh(ctx, asker(t), did); err != nil {
		a.Log.Info("refresh of a DID document after a change of "+of, "did", did, "err", err)
	}
}
