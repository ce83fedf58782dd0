package client

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/auroralocus/locus/internal/oauth/jose"
	"github.com/auroralocus/locus/internal/oauth/scope"
)

// document is a client's metadata as it publishes it.
// spec: oauth#client-id-metadata-document
type document struct {
	ClientID     string   `json:"client_id"`
	Application  string   `json:"application_type"`
	Name         string   `json:"client_name"`
	URI          string   `json:"client_uri"`
	Logo         string   `json:"logo_uri"`
	TOS          string   `json:"tos_uri"`
	Policy       string   `json:"policy_uri"`
	Redirects    []string `json:"redirect_uris"`
	Responses    []string `json:"response_types"`
	Grants       []string `json:"grant_types"`
	Scope        string   `json:"scope"`
	Bound        bool     `json:"dpop_bound_access_tokens"`
	AuthMethod   string   `json:"token_endpoint_auth_method"`
	AuthAlg      string   `json:"token_endpoint_auth_signing_alg"`
	Subject      string   `json:"subject_type"`
	JWKS         jsonRaw  `json:"jwks"`
	JWKSURL      string   `json:"jwks_uri"`
	IDTokenAlg   string   `json:"id_token_signed_response_alg"`
	UserinfoAlg  string   `json:"userinfo_signed_response_alg"`
	MaxAge       *float64 `json:"default_max_age"`
	MTLS         bool     `json:"tls_client_certificate_bound_access_tokens"`
	Encrypted    string   `json:"authorization_encrypted_response_alg"`
	EncryptedEnc string   `json:"authorization_encrypted_response_enc"`
}

type jsonRaw = json.RawMessage

const (
	maxRedirects = 50
	maxName      = 100
)

// parse reads a document and holds it against the rules. private is as in [CheckID]. Errors: [ErrMetadata],
// [ErrRedirect].
func parse(id string, raw []byte, private func(host string) bool) (*Client, error) {
	var d document
	if err := json.Unmarshal(raw, &d); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMetadata, err)
	}
	if why := d.refuses(id); why != "" {
		return nil, fmt.Errorf("%w: %s", ErrMetadata, why)
	}
	c := &Client{
		ID: id, Name: strings.ToValidUTF8(d.Name, "�"), URI: d.URI, Logo: d.Logo, TOS: d.TOS, Policy: d.Policy, Redirects: d.Redirects, Scope: d.Scope,
		Native: d.Application == "native", Refreshes: slices.Contains(d.Grants, "refresh_token"),
		Confidential: d.AuthMethod == "private_key_jwt", SigningAlg: d.AuthAlg, KeysURL: d.JWKSURL,
	}
	for _, r := range d.Redirects {
		if err := checkRedirect(r, id, c.Native, private); err != nil {
			return nil, err
		}
	}
	if d.JWKS != nil {
		keys, err := jose.ParseSet(d.JWKS)
		if err != nil {
			return nil, fmt.Errorf("%w: jwks: %w", ErrMetadata, err)
		}
		if c.Confidential && len(keys) == 0 {
			return nil, fmt.Errorf("%w: jwks has no key that can be used", ErrMetadata)
		}
		c.Keys = keys
	}
	return c, nil
}

// refuses says why a document is no good; "" when it is.
func (d *document) refuses(id string) string {
	switch {
	case d.ClientID != id:
		return fmt.Sprintf("its client_id is %.200q, not the URL that it is at", d.ClientID)
	case d.Application != "" && d.Application != "web" && d.Application != "native":
		return "application_type is web or native"
	case len([]rune(d.Name)) > maxName:
		return "client_name is too long"
	case len(d.Redirects) == 0 || len(d.Redirects) > maxRedirects:
		return fmt.Sprintf("redirect_uris has 1 to %d entries", maxRedirects)
	case !slices.Contains(d.Responses, "code"):
		return "response_types has to hold code"
	case !d.Bound:
		return "dpop_bound_access_tokens has to be true"
	case !scope.WellFormed(d.Scope):
		return "scope has to hold atproto, and nothing twice"
	case d.Subject != "" && d.Subject != "public":
		return "subject_type is public"
	case d.IDTokenAlg != "" || d.UserinfoAlg != "" || d.MaxAge != nil:
		return "there are no ID tokens here"
	case d.MTLS || d.Encrypted != "" || d.EncryptedEnc != "":
		return "certificate-bound tokens and encrypted answers are not supported"
	}
	if why := d.refusesGrants(); why != "" {
		return why
	}
	if why := d.refusesAuthentication(); why != "" {
		return why
	}
	return d.refusesLinks(id)
}

func (d *document) refusesGrants() string {
	seen := map[string]bool{}
	for _, g := range d.Grants {
		if g != "authorization_code" && g != "refresh_token" || seen[g] {
			return "grant_types has authorization_code and perhaps refresh_token, each once"
		}
		seen[g] = true
	}
	if !seen["authorization_code"] {
		return "grant_types has to hold authorization_code"
	}
	return ""
}

func (d *document) refusesAuthentication() string {
	switch d.AuthMethod {
	case "none":
		if d.AuthAlg != "" {
			return "token_endpoint_auth_signing_alg is for private_key_jwt only"
		}
	case "private_key_jwt":
		switch {
		case d.Application == "native":
			return "a native client cannot keep a key: token_endpoint_auth_method is none"
		case !slices.Contains(jose.Algorithms, d.AuthAlg):
			return "private_key_jwt needs token_endpoint_auth_signing_alg"
		case (d.JWKS == nil) == (d.JWKSURL == ""):
			return "private_key_jwt needs jwks or jwks_uri, and not both"
		}
	case "":
		return "token_endpoint_auth_method is missing, which means client_secret_basic: it has to be none or private_key_jwt"
	default:
		return "token_endpoint_auth_method is none or private_key_jwt"
	}
	return ""
}

func (d *document) refusesLinks(id string) string {
	own, _ := url.Parse(id)
	if d.URI != "" {
		u, err := url.Parse(d.URI)
		if err != nil || u.Scheme != own.Scheme || u.Host != own.Host || u.User != nil || !isParent(u.Path, own.Path) {
			return "client_uri has to be at the client_id's own origin, and above it"
		}
	}
	for name, link := range map[string]string{"logo_uri": d.Logo, "tos_uri": d.TOS, "policy_uri": d.Policy} {
		if u, err := url.Parse(link); link != "" && (err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil) {
			return name + " has to be an https URL"
		}
	}
	if u, err := url.Parse(d.JWKSURL); d.JWKSURL != "" && (err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.Fragment != "") {
		return "jwks_uri has to be an https URL"
	}
	return ""
}

func isParent(above, path string) bool {
	above = strings.TrimSuffix(above, "/")
	return above == path || strings.HasPrefix(path, above+"/")
}

// checkRedirect says why people cannot be sent back to an address. Errors: [ErrRedirect].
func checkRedirect(redirect, id string, native bool, private func(string) bool) error {
	refuse := func(why string) error { return fmt.Errorf("%w: %.200q %s", ErrRedirect, redirect, why) }
	u, err := url.Parse(redirect)
	if err != nil || u.User != nil || strings.Contains(redirect, "#") || len(redirect) > maxID {
		return refuse("is not a URL without credentials and fragment")
	}
	own, _ := url.Parse(id)
	switch {
	case u.Scheme == "https":
		if !isPublicName(u.Hostname()) && (private == nil || !private(u.Host)) {
			return refuse("has no public host")
		}
	case u.Scheme == "http":
		if !native || !isLoopback(u.Hostname()) {
			return refuse("is not https: only native clients are sent to 127.0.0.1 and [::1]")
		}
	case !native:
		return refuse("is not https: only native clients have schemes of their own")
	case u.Scheme != reversed(own.Hostname()) || !strings.Contains(u.Scheme, "."):
		return refuse("has a scheme that is not the client_id's host, reversed")
	case !strings.HasPrefix(redirect, u.Scheme+":/") || strings.HasPrefix(redirect, u.Scheme+"://"):
		return refuse("has to have one slash behind its scheme")
	}
	return nil
}

func reversed(host string) string {
	parts := strings.Split(host, ".")
	slices.Reverse(parts)
	return strings.Join(parts, ".")
}
