package handlers

import (
	"context"
	"errors"
	"net/http"

	"github.com/auroralocus/locus/internal/xrpc"

	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/act"
)

// updateSubjectStatus takes an account, a record or a blob down, or brings it back, and (accounts) deactivates or
// activates; activating an account whose sign-up waits approves it. Subscribers hear of accounts only, also when nothing changed.
// spec: lexicon com.atproto.admin.updateSubjectStatus
func (m adminMethods) updateSubjectStatus(ctx context.Context, c xrpc.OperatorCaller, in *adminUpdateSubjectStatusInput) (*adminUpdateSubjectStatusOutput, error) {
	b := &in.Body
	takedown, deactivated := mark(b.Takedown), mark(b.Deactivated)
	var err error
	switch s := &b.Subject; {
	case s.RepoRef != nil:
		err = noAccount(m.acts.SetAccountStatus(ctx, c.Tenant, by(c), string(s.RepoRef.DID), takedown, deactivated))
	case deactivated != nil:
		err = xrpc.Invalid("only an account can be deactivated")
	case s.RepoStrongRef != nil:
		err = noSubject(m.acts.SetRecordStatus(ctx, c.Tenant, by(c), string(s.RepoStrongRef.URI), takedown))
	case s.RepoBlobRef != nil:
		err = noSubject(m.acts.SetBlobStatus(ctx, c.Tenant, by(c), string(s.RepoBlobRef.DID), string(s.RepoBlobRef.CID), takedown))
	default:
		err = xrpc.Invalid("Invalid subject")
	}
	if err != nil {
		return nil, err
	}
	return &adminUpdateSubjectStatusOutput{Body: adminUpdateSubjectStatusOutputBody{Subject: b.Subject, Takedown: b.Takedown}}, nil
}

func mark(s *adminDefsStatusAttr) *act.Mark {
	if s == nil {
		return nil
	}
	return &act.Mark{Applied: s.Applied, Ref: s.Ref}
}

// noSubject is the answer for a subject that is not here.
func noSubject(err error) error {
	if errors.Is(err, account.ErrNotFound) || errors.Is(err, account.ErrSubjectNotFound) {
		return xrpc.Refuse(http.StatusBadRequest, "NotFound", "Subject not found")
	}
	return err
}
