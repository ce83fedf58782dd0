package endpoint

import (
	"context"

	"github.com/auroralocus/locus/internal/oauth/jose"
	"github.com/auroralocus/locus/internal/oauth/scope"
	"github.com/auroralocus/locus/internal/xrpc"
)

// resource says who may be asked for access to the tenant: itself. The official client compares resource with what the
// authorization server lists, as text.
// spec: RFC 9728
func (e endpoints) resource(_ context.Context, v xrpc.Visitor) (any, error) {
	return map[string]any{
		"resource":                 v.Called().PublicURL,
		"authorization_servers":    []string{v.Tenant.PublicURL}, // under a former name, too: nobody signs in there
		"bearer_methods_supported": []string{"header"},
		"scopes_supported":         []string{},
		"resource_documentation":   "https://atproto.com",
	}, nil
}

// server says what the authorization server can do. Clients refuse one that lacks any of what the protocol asks for.
// spec: oauth#authorization-servers, RFC 8414
func (e endpoints) server(_ context.Context, v xrpc.Visitor) (any, error) {
	t := v.Called()
	at := func(path string) string { return t.PublicURL + path }
	return map[string]any{
		"issuer":                                t.PublicURL,
		"authorization_endpoint":                at(pathAuthorize),
		"token_endpoint":                        at(pathToken),
		"revocation_endpoint":                   at(pathRevoke),
		"pushed_authorization_request_endpoint": at(pathPush),
		"jwks_uri":                              at(pathKeys),

		// Whole families such as repo: are not among them: the list is for scopes that can be asked for as they are.
		"scopes_supported":                 []string{scope.Atproto, scope.Mail, scope.Generic, scope.Chat},
		"subject_types_supported":          []string{"public"},
		"response_types_supported":         []string{"code"},
		"response_modes_supported":         []string{"query", "fragment", "form_post"},
		"grant_types_supported":            []string{"authorization_code", "refresh_token"},
		"code_challenge_methods_supported": []string{"S256"},
		"prompt_values_supported":          []string{"none", "login", "consent", "select_account", "create"},
		"display_values_supported":         []string{"page", "popup", "touch"},
		"ui_locales_supported":             e.Languages,

		"authorization_response_iss_parameter_supported": true,
		"require_pushed_authorization_requests":          true,
		"client_id_metadata_document_supported":          true,
		"request_uri_parameter_supported":                true,
		"require_request_uri_registration":               true,

		"request_parameter_supported":                      true,
		"request_object_signing_alg_values_supported":      append([]string{"none"}, jose.Algorithms...),
		"request_object_encryption_alg_values_supported":   []string{},
		"request_object_encryption_enc_values_supported":   []string{},
		"token_endpoint_auth_methods_supported":            []string{"none", "private_key_jwt"},
		"token_endpoint_auth_signing_alg_values_supported": jose.Algorithms,
		"dpop_signing_alg_values_supported":                jose.Algorithms,

		"protected_resources": []string{t.PublicURL},
	}, nil
}

// keys are those that the tenant's access tokens are signed with.
// spec: RFC 7517
func (e endpoints) keys(ctx context.Context, v xrpc.Visitor) (any, error) {
	secrets, err := e.Secrets(ctx, v.Tenant)
	if err != nil {
		return nil, err
	}
	return map[string]any{"keys": secrets.JWKs()}, nil
}
