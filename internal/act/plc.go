package act

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/did-method-plc/go-didplc"

	"github.com/auroralocus/locus/db/tenantdb"
	accounts "github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/firehose"
	"github.com/auroralocus/locus/internal/identity"
	"github.com/auroralocus/locus/internal/tenant"
)

// ErrOperation: a PLC operation that the account could not go on with here. The wrapped text says why.
var ErrOperation = errors.New("unusable PLC operation")

func unusable(text string) error { return &saidError{ErrOperation, text} }

// submit sends an operation to the directory of a DID. A tenant that is a copy of another one never does: the DIDs are
// those of the other one's accounts. A directory that fails over it is asked again, a little later.
func (a *Acts) submit(ctx context.Context, t *tenant.Tenant, did string, op didplc.Operation) error {
	if t.Settings.Isolated {
		return unusable("This server is a copy for trying things out, and changes no DID")
	}
	began := time.Now()
	var doubt error // the directory failed over it, and may have taken it
	for try := 1; ; try++ {
		err := a.Directory.Submit(ctx, did, op)
		if identity.Passes(err) {
			doubt = err
			if try < submitTries && time.Since(began) < submitAgain && sleep(ctx, time.Duration(try)*submitPause+rand.N(submitPause)) == nil {
				continue
			}
		}
		if err == nil || doubt == nil {
			return err
		}
		// One that was taken before is refused now: it does not follow the newest, which is itself.
		last, lost := a.Directory.Last(ctx, did)
		switch {
		case lost == nil && last.CID().Equals(op.CID()):
			return nil
		case errors.Is(lost, identity.ErrDIDUnavailable):
			return doubt
		}
		return err
	}
}

const (
	// submitTries is how often a directory gets an operation that it failed over: of two at once the reference's may answer
	// one so. submitPause is how long to wait before the second time, at least; submitAgain, how long after the first time
	// another one may begin, as the person waits.
	submitTries = 3
	submitPause = 200 * time.Millisecond
	submitAgain = 15 * time.Second
)

// RequestOperationSignature mails the token that [Acts.SignOperation] wants. A did:web has nothing to sign.
// Errors: [ErrOperation], [accounts.ErrNoEmail], [auth.ErrAccountNotFound].
func (a *Acts) RequestOperationSignature(ctx context.Context, t *tenant.Tenant, by Owner) error {
	if !strings.HasPrefix(by.DID, "did:plc:") {
		return unusable(by.DID + " has no PLC operations: only a did:plc has")
	}
	return a.mailOwner(ctx, t, by, accounts.TokenPLCOperation)
}

// SignOperation signs a change of the owner's DID with the tenant's rotation key, by a mailed token. Nothing is sent
// anywhere: the owner submits it, here or, when moving away, at the new server. Errors: [ErrOperation],
// [accounts.ErrTokenInvalid], [accounts.ErrTokenExpired], those of the DID's directory.
func (a *Acts) SignOperation(ctx context.Context, t *tenant.Tenant, by Owner, token string, change func(*identity.Operation)) (signed json.RawMessage, err error) {
	if !strings.HasPrefix(by.DID, "did:plc:") {
		return nil, unusable("Only did:plc has operations to sign")
	}
	secrets, err := a.Sessions.Secrets(ctx, t)
	if err != nil {
		return nil, err
	}
	rotation, err := a.Tenants.RotationSigner(ctx, t)
	if err != nil {
		return nil, err
	}
	last, err := a.Directory.Last(ctx, by.DID)
	if err != nil {
		return nil, err
	}
	op, err := identity.NewUpdate(last, rotation, change)
	if err != nil {
		return nil, err
	}
	text, err := identity.MarshalOperation(op)
	if err != nil {
		return nil, err
	}
	err = a.DB.Tenant(t.Schema).Tx(ctx, func(q *tenantdb.Queries) error {
		if err := accounts.UseToken(ctx, q, secrets.Typed(), a.Now(), by.AID, accounts.TokenPLCOperation, token); err != nil {
			return err
		}
		return a.note(ctx, q, by.Visitor, by.AID, accounts.EventIdentity, "")
	})
	if err != nil {
		return nil, err // what was signed goes nowhere
	}
	return json.RawMessage(text), nil
}

// submitTime bounds what follows once the DID's directory was told.
const submitTime = 30 * time.Second

// SubmitOperation sends a signed change of the owner's DID to its directory, if the account goes on working with it
// here: the operation must name this server, the key that signs the repository, and the handle. It need not keep the
// tenant's rotation key: whoever holds all keys to a DID may have it hosted here. Errors: [ErrOperation], [ErrGone],
// [identity.ErrOperation], those of the DID's directory.
func (a *Acts) SubmitOperation(ctx context.Context, t *tenant.Tenant, by Owner, operation []byte) error {
	if !strings.HasPrefix(by.DID, "did:plc:") {
		return unusable("Only did:plc has operations")
	}
	parsed, err := identity.ParseOperation(operation)
	if err != nil {
		return err
	}
	op, ok := parsed.(*identity.Operation)
	if !ok {
		return unusable("Only a plc_operation can be submitted here")
	}
	key, err := accounts.Signer(ctx, a.DB.Tenant(t.Schema).Q(), a.Keys, t.Schema, by.AID)
	if err != nil {
		return Gone(err)
	}
	service := op.Services[identity.ServicePDS]
	switch {
	case service.Type != identity.ServicePDSType:
		return unusable("Incorrect type on atproto_pds service")
	case service.Endpoint != t.PublicURL:
		return unusable("Incorrect endpoint on atproto_pds service")
	case op.VerificationMethods[identity.KeyAtproto] != key.PublicDIDKey():
		return unusable("Incorrect signing key")
	case by.Handle != "" && (len(op.AlsoKnownAs) == 0 || op.AlsoKnownAs[0] != "at://"+by.Handle):
		return unusable("Incorrect handle in alsoKnownAs")
	}
	// From here a client that hangs up does not stop the work half way.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), submitTime)
	defer cancel()
	if err := a.submit(ctx, t, by.DID, op); err != nil {
		return err
	}
	err = a.publish(ctx, t, func(q *tenantdb.Queries) ([]firehose.Event, error) {
		if _, err := q.LockActor(ctx, by.AID); err != nil {
			return nil, err
		}
		return []firehose.Event{firehose.NewIdentity(by.AID, by.DID, "", a.Now())}, nil
	})
	if err != nil {
		// The directory has it, and that is what was asked for; a repeated call makes up for the event.
		a.Log.ErrorContext(ctx, "no identity event for a PLC operation", "did", by.DID, "err", err)
	}
	a.refreshDocument(ctx, t, by.DID, "its keys")
	return nil
}
