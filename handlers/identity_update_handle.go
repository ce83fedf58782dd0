package handlers

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/auroralocus/locus/db/tenantdb"
	accounts "github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/firehose"
	"github.com/auroralocus/locus/internal/identity"
	"github.com/auroralocus/locus/internal/tenant"
)

// handleTime bounds a change of handle once the DID's directory was told.
const handleTime = 30 * time.Second

// updateHandle changes the caller's handle: in the DID document first, then here. An identity event follows in any
// case, also when nothing changed: people call this to have the network look again.
// spec: lexicon com.atproto.identity.updateHandle
func (m identityMethods) updateHandle(ctx context.Context, c accountCaller, in *identityUpdateHandleInput) (*identityUpdateHandleOutput, error) {
	handle, kind, err := accounts.HandlePolicy(c.Tenant).Check(string(in.Body.Handle), false)
	if err != nil && !(handle == "" && equalHandle(string(in.Body.Handle), c.Handle)) {
		return nil, err
	}
	if err != nil { // the one it has, which an operator may have given: rules that came later do not take it away
		handle, kind = c.Handle, identity.HandleHosted
	}
	if kind == identity.HandleExternal {
		if did, err := m.documents.ResolveHandle(ctx, handle); err != nil || did != c.DID {
			return nil, invalid("External handle did not resolve to DID")
		}
	}
	if err := m.changeHandle(ctx, c.Tenant, c.AID, c.DID, c.Handle, handle, nil); err != nil {
		return nil, err
	}
	return &identityUpdateHandleOutput{}, nil
}

// changeHandle is what updateHandle and the operator's method have in common: the handle's form and ownership have been
// checked. also, if not nil, runs in the transaction.
func (m identityMethods) changeHandle(ctx context.Context, t *tenant.Tenant, aid int64, did, old, handle string, also func(context.Context, *tenantdb.Queries) error) error {
	if handle != old {
		if err := m.handleFree(ctx, t, handle); err != nil {
			return err
		}
	}
	// From here a client that hangs up does not stop the work half way.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), handleTime)
	defer cancel()
	if err := m.announceHandle(ctx, t, did, handle); err != nil {
		return err
	}
	err := m.publish(ctx, t, func(q *tenantdb.Queries) ([]firehose.Event, error) {
		events, err := accounts.SetHandle(ctx, q, m.now(), aid, handle)
		if err == nil && also != nil {
			err = also(ctx, q)
		}
		return events, err
	})
	m.actors.Forget(t.Schema, did)
	if errors.Is(err, accounts.ErrHandleTaken) && old != "" {
		// Somebody was faster by a moment: the document must not go on naming what is theirs.
		if err := m.announceHandle(ctx, t, did, old); err != nil {
			m.log.Error("DID document names a handle of another account", "did", did, "handle", handle, "err", err)
		}
	}
	if _, refreshErr := m.documents.Refresh(ctx, did); refreshErr != nil {
		m.log.Info("refresh of a DID document after a change of handle", "did", did, "err", refreshErr)
	}
	return goneAccount(err)
}

// handleFree looks whether a handle can be had. The database decides in the end.
func (m identityMethods) handleFree(ctx context.Context, t *tenant.Tenant, handle string) error {
	if taken, err := m.tenants.NameTaken(ctx, handle); err != nil {
		return err
	} else if taken {
		return identity.ErrHandleReserved // it leads to a tenant
	}
	n, err := m.db.Tenant(t.Schema).Q().CountActorsWithHandle(ctx, tenantdb.CountActorsWithHandleParams{Handle: handle, StaleBefore: m.now().Add(-accounts.StaleAfter)})
	if err != nil {
		return fmt.Errorf("look for handle: %w", err)
	}
	if n > 0 {
		return &accounts.TakenError{Kind: accounts.ErrHandleTaken, Value: handle}
	}
	return nil
}

// announceHandle has the DID document name the handle. The owner of a did:web does it, and must have done it.
func (m identityMethods) announceHandle(ctx context.Context, t *tenant.Tenant, did, handle string) error {
	if !strings.HasPrefix(did, "did:plc:") {
		doc, err := m.documents.Refresh(ctx, did)
		if err != nil {
			return err
		}
		if !doc.HasHandle(handle) {
			return invalid("The DID document does not name this handle")
		}
		return nil
	}
	rotation, err := m.tenants.RotationSigner(ctx, t)
	if err != nil {
		return err
	}
	for range plcTries {
		last, lastErr := m.directory.Last(ctx, did)
		if lastErr != nil {
			return lastErr
		}
		now, formErr := identity.RegularForm(last)
		if formErr != nil {
			return formErr
		}
		if named := handleOf(now.AlsoKnownAs); named == handle {
			return nil // the owner of the DID's keys did it already, or nothing changes
		}
		op, updateErr := identity.NewUpdate(last, rotation, func(op *identity.Operation) { identity.SetHandle(op, handle) })
		if updateErr != nil {
			return updateErr
		}
		if err = m.directory.Submit(ctx, did, op); !errors.Is(err, identity.ErrOperationConflict) {
			break
		}
	}
	return err
}

// plcTries is how often an operation is made anew because another came before it.
const plcTries = 3

func handleOf(aka []string) string {
	for _, name := range aka {
		if h, ok := strings.CutPrefix(name, "at://"); ok {
			return strings.ToLower(h)
		}
	}
	return ""
}
