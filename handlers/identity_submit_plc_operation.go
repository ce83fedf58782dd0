package handlers

import (
	"context"
	"strings"
	"time"

	"github.com/auroralocus/locus/db/tenantdb"
	accounts "github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/firehose"
	"github.com/auroralocus/locus/internal/identity"
)

// submitTime bounds what follows once the DID's directory was told.
const submitTime = 30 * time.Second

// submitPlcOperation sends a signed change of the caller's DID to its directory, if the account goes on working with
// it here: the operation must name this server, the key that signs the repository, and the handle. It need not keep the
// tenant's rotation key: whoever holds all keys to a DID may have it hosted here.
// spec: lexicon com.atproto.identity.submitPlcOperation
func (m identityMethods) submitPlcOperation(ctx context.Context, c accountCaller, in *identitySubmitPlcOperationInput) (*identitySubmitPlcOperationOutput, error) {
	if !strings.HasPrefix(c.DID, "did:plc:") {
		return nil, invalid("Only did:plc has operations")
	}
	parsed, err := identity.ParseOperation(in.Body.Operation)
	if err != nil {
		return nil, err
	}
	op, ok := parsed.(*identity.Operation)
	if !ok {
		return nil, invalid("Only a plc_operation can be submitted here")
	}
	key, err := accounts.Signer(ctx, m.db.Tenant(c.Tenant.Schema).Q(), m.keys, c.Tenant.Schema, c.AID)
	if err != nil {
		return nil, goneAccount(err)
	}
	service := op.Services[identity.ServicePDS]
	switch {
	case service.Type != identity.ServicePDSType:
		return nil, invalid("Incorrect type on atproto_pds service")
	case service.Endpoint != c.Tenant.PublicURL:
		return nil, invalid("Incorrect endpoint on atproto_pds service")
	case op.VerificationMethods[identity.KeyAtproto] != key.PublicDIDKey():
		return nil, invalid("Incorrect signing key")
	case c.Handle != "" && (len(op.AlsoKnownAs) == 0 || op.AlsoKnownAs[0] != "at://"+c.Handle):
		return nil, invalid("Incorrect handle in alsoKnownAs")
	}
	// From here a client that hangs up does not stop the work half way.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), submitTime)
	defer cancel()
	if err := m.directory.Submit(ctx, c.DID, op); err != nil {
		return nil, err
	}
	err = m.acts.Publish(ctx, c.Tenant, func(q *tenantdb.Queries) ([]firehose.Event, error) {
		if _, err := q.LockActor(ctx, c.AID); err != nil {
			return nil, err
		}
		return []firehose.Event{firehose.NewIdentity(c.AID, c.DID, "", m.now())}, nil
	})
	if err != nil {
		// The directory has it, and that is what was asked for; a repeated call makes up for the event.
		m.log.Error("no identity event for a PLC operation", "did", c.DID, "err", err)
	}
	if _, err := m.documents.Refresh(ctx, c.DID); err != nil {
		m.log.Info("refresh of a DID document after a PLC operation", "did", c.DID, "err", err)
	}
	return &identitySubmitPlcOperationOutput{}, nil
}
