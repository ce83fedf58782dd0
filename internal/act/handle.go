package act

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/did-method-plc/go-didplc"

	"github.com/auroralocus/locus/db/tenantdb"
	accounts "github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/firehose"
	"github.com/auroralocus/locus/internal/identity"
	"github.com/auroralocus/locus/internal/mail"
	"github.com/auroralocus/locus/internal/tenant"
)

const actHandle = "com.atproto.admin.updateAccountHandle"

// handleTime bounds a change of handle once the DID's directory was told.
const handleTime = 30 * time.Second

// ChangeOwnHandle changes an account's handle, as its owner wishes: in the DID document first, then here. An identity
// event follows in any case, also when nothing changed: people ask for this to have the network look again.
// Errors: those of [accounts.HandlePolicy], [ErrHandleElsewhere], [ErrDocumentHandle], [accounts.ErrHandleTaken],
// [identity.ErrHandleReserved], [ErrGone], those of the DID's directory.
func (a *Acts) ChangeOwnHandle(ctx context.Context, t *tenant.Tenant, by Owner, text string) error {
	handle, kind, err := accounts.HandlePolicy(t).Check(text, false)
	if err != nil && !(handle == "" && strings.EqualFold(text, by.Handle)) {
		return err
	}
	if err != nil { // the one it has, which an operator may have given: rules that came later do not take it away
		handle, kind = by.Handle, identity.HandleHosted
	}
	if err := a.leadsTo(ctx, asker(t), handle, kind, by.DID); err != nil {
		return err
	}
	if handle == by.Handle {
		return a.changeHandle(ctx, t, by.AID, by.DID, by.Handle, handle, nil)
	}
	err = a.changeHandle(ctx, t, by.AID, by.DID, by.Handle, handle, func(ctx context.Context, q *tenantdb.Queries) error {
		return a.told(ctx, q, t, by, mail.Note{Kind: mail.KindHandleChanged, Detail: handle})
	})
	if err == nil {
		a.Outbox.Wake(t)
	}
	return err
}

// HandleFree says whether an account could have a handle now, and gives it as it would be stored. That an own domain
// leads to the account is another question: [Acts.LookAtHandle]. Errors: those of [accounts.HandlePolicy],
// [accounts.ErrHandleTaken], [identity.ErrHandleReserved].
func (a *Acts) HandleFree(ctx context.Context, t *tenant.Tenant, text string) (handle string, kind identity.HandleKind, err error) {
	handle, kind, err = accounts.HandlePolicy(t).Check(text, false)
	if err == nil {
		err = a.handleFree(ctx, t, handle)
	}
	return handle, kind, err
}

// LookAtHandle says what DNS and the host of an own domain say about a handle, now: for whoever is setting it up.
// Errors: those of [identity.Resolver.LookAtHandle].
func (a *Acts) LookAtHandle(ctx context.Context, t *tenant.Tenant, handle string) (identity.HandleSight, error) {
	return a.Documents.LookAtHandle(ctx, asker(t), handle)
}

// ChangeHandle gives an account another handle, a reserved one too.
// Errors: those of [Acts.ChangeOwnHandle], [accounts.ErrNotFound], [accounts.ErrAwaiting].
func (a *Acts) ChangeHandle(ctx context.Context, t *tenant.Tenant, by Operator, did, text string) error {
	handle, kind, err := accounts.HandlePolicy(t).Check(text, true)
	if err != nil {
		return err
	}
	who, err := a.changeable(ctx, t, did)
	if err != nil {
		return err
	}
	if err := a.leadsTo(ctx, asker(t), handle, kind, who.DID); err != nil {
		return err
	}
	return a.changeHandle(ctx, t, who.AID, who.DID, who.Handle, handle, func(ctx context.Context, q *tenantdb.Queries) error {
		return a.record(ctx, q, by, actHandle, deed{who.DID, map[string]any{"from": who.Handle, "to": handle}})
	})
}

// leadsTo holds a handle of somebody's own domain against what the domain says.
func (a *Acts) leadsTo(ctx context.Context, who identity.Asker, handle string, kind identity.HandleKind, did string) error {
	if kind != identity.HandleExternal {
		return nil
	}
	switch found, err := a.Documents.RefreshHandle(ctx, who, handle); {
	case errors.Is(err, identity.ErrHandleNotFound), err == nil && found != did:
		return ErrHandleElsewhere
	default:
		return err
	}
}

// changeHandle is what both acts have in common: the handle's form and ownership have been checked. also, if not nil,
// runs in the transaction.
func (a *Acts) changeHandle(ctx context.Context, t *tenant.Tenant, aid int64, did, old, handle string, also func(context.Context, *tenantdb.Queries) error) error {
	if handle != old {
		if err := a.handleFree(ctx, t, handle); err != nil {
			return err
		}
	}
	var elsewhere *tenant.Elsewhere
	if _, hosted := accounts.HandlePolicy(t).Hosted(handle); !hosted {
		var err error
		if elsewhere, err = a.Tenants.NoteHandle(ctx, t, handle); err != nil {
			return err
		}
	}
	// From here a client that hangs up does not stop the work half way.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), handleTime)
	defer cancel()
	if err := a.announceHandle(ctx, t, did, handle); err != nil {
		return err
	}
	err := a.publish(ctx, t, func(q *tenantdb.Queries) ([]firehose.Event, error) {
		events, err := accounts.SetHandle(ctx, q, a.Now(), aid, handle, elsewhere)
		if err == nil && also != nil {
			err = also(ctx, q)
		}
		return events, err
	})
	a.Actors.Forget(t.Schema, did)
	if errors.Is(err, accounts.ErrHandleDomain) {
		err = identity.ErrHandleReserved // the tenant has the domain no more, and this process did not know yet
	}
	if (errors.Is(err, accounts.ErrHandleTaken) || errors.Is(err, identity.ErrHandleReserved)) && old != "" {
		// Somebody was faster by a moment: the document must not go on naming what is theirs.
		if err := a.announceHandle(ctx, t, did, old); err != nil {
			a.Log.ErrorContext(ctx, "DID document names a handle of another account", "did", did, "handle", handle, "err", err)
		}
	}
	a.refreshDocument(ctx, t, did, "handle")
	return Gone(err)
}

// handleFree looks whether a handle can be had. The database decides in the end.
func (a *Acts) handleFree(ctx context.Context, t *tenant.Tenant, handle string) error {
	if taken, err := a.Tenants.NameTaken(ctx, handle); err != nil {
		return err
	} else if taken {
		return identity.ErrHandleReserved // it leads to a tenant
	}
	n, err := a.DB.Tenant(t.Schema).Q().CountActorsWithHandle(ctx, tenantdb.CountActorsWithHandleParams{Handle: handle, StaleBefore: a.Now().Add(-accounts.StaleAfter)})
	if err != nil {
		return fmt.Errorf("look for handle: %w", err)
	}
	if n > 0 {
		return &accounts.TakenError{Kind: accounts.ErrHandleTaken, Value: handle}
	}
	return nil
}

// announceHandle has the DID document name the handle.
func (a *Acts) announceHandle(ctx context.Context, t *tenant.Tenant, did, handle string) error {
	return a.announce(ctx, t, did, announcement{
		named: func(doc *identity.Document) error {
			if !doc.HasHandle(handle) {
				return ErrDocumentHandle
			}
			return nil
		},
		done: func(now *didplc.RegularOp) bool { return handleOf(now.AlsoKnownAs) == handle },
		edit: func(op *didplc.RegularOp) { identity.SetHandle(op, handle) },
	})
}

func handleOf(aka []string) string {
	for _, name := range aka {
		if h, ok := strings.CutPrefix(name, "at://"); ok {
			return strings.ToLower(h)
		}
	}
	return ""
}
