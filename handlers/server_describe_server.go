package handlers

import (
	"context"

	"github.com/auroralocus/locus/internal/xrpc"

	"github.com/auroralocus/locus/internal/tenant"
)

// describeServer tells what kind of server this is. Relays call it to decide whether a host is a PDS.
// spec: lexicon com.atproto.server.describeServer
func (m serverMethods) describeServer(_ context.Context, v xrpc.Visitor, _ *serverDescribeServerInput) (*serverDescribeServerOutput, error) {
	s := &v.Tenant.Settings
	// The lexicon has no word for a server that takes nobody. "A code is required" keeps clients from offering it, and
	// nobody has one.
	invite, limit := s.InviteRequired() || s.Signup == tenant.SignupClosed, s.BlobUploadLimit
	out := &serverDescribeServerOutput{Body: serverDescribeServerOutputBody{
		DID:                  xrpc.DID(v.Tenant.ServiceDID),
		AvailableUserDomains: v.Tenant.UserDomains(),
		InviteCodeRequired:   &invite,
		BlobUploadLimit:      &limit,
	}}
	if s.PrivacyPolicyURL != "" || s.TermsOfServiceURL != "" {
		out.Body.Links = &serverDescribeServerLinks{PrivacyPolicy: xrpc.URI(s.PrivacyPolicyURL), TermsOfService: xrpc.URI(s.TermsOfServiceURL)}
	}
	if s.ContactEmail != "" {
		out.Body.Contact = &serverDescribeServerContact{Email: s.ContactEmail}
	}
	return out, nil
}
