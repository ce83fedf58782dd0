package handlers

import (
	"context"

	"github.com/auroralocus/locus/internal/xrpc"

	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/act"
)

// createAccount makes an account with a new did:plc, its repository and its first session.
// spec: lexicon com.atproto.server.createAccount
func (m serverMethods) createAccount(ctx context.Context, v xrpc.Visitor, in *serverCreateAccountInput) (*serverCreateAccountOutput, error) {
	if in.Body.PlcOp != nil {
		return nil, xrpc.Invalid("Unsupported input: plcOp")
	}
	made, err := m.acts.SignUp(ctx, v.Tenant, stranger(v), signupRequest(&in.Body))
	if err != nil {
		return nil, err
	}
	var doc xrpc.RawJSON // there is none yet while a sign-up waits for approval
	if !made.Queued {
		doc = m.didDoc(ctx, v.Tenant, made.DID)
	}
	return accountMade(made, doc), nil
}

func signupRequest(in *serverCreateAccountInputBody) account.Request {
	// Without a password nobody could sign in. So leaving it out, which the lexicon allows, is refused like an empty
	// one.
	return account.Request{Handle: string(in.Handle), Email: in.Email, InviteCode: in.InviteCode, RecoveryKey: in.RecoveryKey, DID: string(in.DID), Password: &in.Password}
}

func accountMade(made act.Arrival, doc xrpc.RawJSON) *serverCreateAccountOutput {
	return &serverCreateAccountOutput{Body: serverCreateAccountOutputBody{
		AccessJwt: made.Session.Access, RefreshJwt: made.Session.Refresh, Handle: xrpc.Handle(made.Handle), DID: xrpc.DID(made.DID), DIDDoc: doc,
	}}
}
