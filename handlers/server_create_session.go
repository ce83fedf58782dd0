package handlers

import (
	"context"

	"github.com/auroralocus/locus/internal/xrpc"

	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/tenant"
)

// createSession signs in by handle, DID or address, with the main password or an app password. A deactivated account may;
// a taken-down one gets, when asked for with allowTakendown, a token that is good for appealing and leaving, and that
// cannot be refreshed.
// spec: lexicon com.atproto.server.createSession
func (m serverMethods) createSession(ctx context.Context, v xrpc.Visitor, in *serverCreateSessionInput) (*serverCreateSessionOutput, error) {
	s, err := m.acts.SignIn(ctx, v.Tenant, stranger(v), act.Credentials{
		Identifier: in.Body.Identifier, Password: in.Body.Password, Code: in.Body.AuthFactorToken,
		Takendown: in.Body.AllowTakendown != nil && *in.Body.AllowTakendown,
	})
	if err != nil {
		return nil, err
	}
	info := m.sessionInfo(ctx, v.Tenant, s.Account)
	return &serverCreateSessionOutput{Body: serverCreateSessionOutputBody{
		AccessJwt: s.Access, RefreshJwt: s.Refresh,
		DID: xrpc.DID(s.Account.DID), Handle: info.Handle, DIDDoc: info.DIDDoc,
		Email: s.Account.Email, EmailConfirmed: &s.Account.EmailConfirmed, EmailAuthFactor: &s.Account.EmailFactor,
		Active: &info.Active, Status: info.Status,
	}}, nil
}

// sessionInfo is what the three session answers say of an account beside its address.
type sessionInfo struct {
	Handle xrpc.Handle
	DIDDoc xrpc.RawJSON
	Active bool
	Status string
}

func (m serverMethods) sessionInfo(ctx context.Context, t *tenant.Tenant, a *account.Account) sessionInfo {
	info := sessionInfo{Handle: shownHandle(a.Handle), Active: a.Active(), Status: a.Status()}
	if t.Settings.SessionDIDDoc {
		info.DIDDoc = m.didDoc(ctx, t, a.DID)
	}
	return info
}

// didDoc is the DID document as JSON, nothing when the directory does not answer: a session does not fail for it.
func (m serverMethods) didDoc(ctx context.Context, t *tenant.Tenant, did string) xrpc.RawJSON {
	doc, err := m.documents.Resolve(ctx, xrpc.OwnAsker(t), did)
	if err != nil {
		m.log.WarnContext(ctx, "session without DID document", "did", did, "err", err)
		return nil
	}
	text, err := doc.MarshalJSON()
	if err != nil {
		m.log.WarnContext(ctx, "session without DID document", "did", did, "err", err)
		return nil
	}
	return text
}

// invalidHandle is what an account shows that has no handle which is its own.
// spec: handle#additional-non-syntax-restrictions
const invalidHandle = "handle.invalid"

func shownHandle(handle string) xrpc.Handle {
	if handle == "" {
		return invalidHandle
	}
	return xrpc.Handle(handle)
}
