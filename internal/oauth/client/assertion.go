package client

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/auroralocus/locus/internal/fair"
	"github.com/auroralocus/locus/internal/oauth/jose"
)

// AssertionType is the only kind of proof that confidential clients give.
const AssertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

const (
	assertionAge  = 60 * time.Second
	assertionKept = 66 * time.Second // when it names no end
	clockSkew     = 5 * time.Second
	clockAhead    = 10 * time.Second // that a client's clock may be
	maxJTI        = 256
)

// Proved is the key with which a confidential client proved who it is. The zero value is a public client's.
type Proved struct {
	KeyID      string
	Alg        string
	Thumbprint string
	// Once names the assertion, which is good once, until Until. Whoever takes it writes that down.
	Once  [32]byte
	Until time.Time
	// BoundTo is the thumbprint of the DPoP key that the assertion is for; "": any.
	BoundTo string
}

// Any says whether there was something to prove.
func (p Proved) Any() bool { return p.Thumbprint != "" }

// SameKey says whether both were proved with the same key, in the same way.
func (p Proved) SameKey(o Proved) bool {
	return p.KeyID == o.KeyID && p.Alg == o.Alg && p.Thumbprint == o.Thumbprint
}

type assertion struct {
	Iss string          `json:"iss"`
	Sub string          `json:"sub"`
	Aud json.RawMessage `json:"aud"`
	Iat int64           `json:"iat"`
	Exp int64           `json:"exp"`
	Nbf int64           `json:"nbf"`
	Jti string          `json:"jti"`
	Cnf struct {
		JKT string `json:"jkt"`
	} `json:"cnf"`
}

// Authenticate finds out whether a request comes from the client. A public one has nothing to show, and must not show
// anything. Errors: [ErrAuthentication], [ErrMetadata], [ErrUnavailable].
// spec: oauth#confidential-client-authentication
func (s *Store) Authenticate(ctx context.Context, from fair.Path, c *Client, kind, text, issuer string) (Proved, error) {
	refuse := func(why string, args ...any) (Proved, error) {
		return Proved{}, fmt.Errorf("%w: %s", ErrAuthentication, fmt.Sprintf(why, args...))
	}
	if !c.Confidential {
		if kind != "" || text != "" {
			return refuse("a public client has no client_assertion")
		}
		return Proved{}, nil
	}
	if kind != AssertionType || text == "" {
		return refuse("client_assertion and client_assertion_type (%s) are required", AssertionType)
	}
	t, err := jose.Parse(text)
	if err != nil {
		return refuse("client_assertion: %v", err)
	}
	var a assertion
	if err := t.Claims(&a); err != nil {
		return refuse("client_assertion: %v", err)
	}
	if why := a.refuses(t, c, issuer, s.cfg.Now()); why != "" {
		return refuse("client_assertion: %s", why)
	}
	key, err := s.key(ctx, from, c, t.Header.Kid)
	if err != nil {
		return Proved{}, err
	}
	if key == nil {
		return refuse("client_assertion: the client has no key %.100q", t.Header.Kid)
	}
	if err := t.Verify(key); err != nil {
		return refuse("client_assertion: %v", err)
	}
	until := s.cfg.Now().Add(assertionKept)
	if a.Exp > 0 {
		until = time.Unix(a.Exp, 0).Add(clockSkew)
	}
	return Proved{
		KeyID: key.ID, Alg: t.Header.Alg, Thumbprint: key.Thumbprint, BoundTo: a.Cnf.JKT,
		Once: sha256.Sum256([]byte("assertion\x00" + c.ID + "\x00" + a.Jti)), Until: until,
	}, nil
}

func (a *assertion) refuses(t *jose.Token, c *Client, issuer string, now time.Time) string {
	age := now.Sub(time.Unix(a.Iat, 0))
	switch {
	case t.Header.Kid == "":
		return "its header has no kid"
	case t.Header.Alg != c.SigningAlg:
		return "its alg is not the client's token_endpoint_auth_signing_alg"
	case a.Iss != c.ID || a.Sub != c.ID:
		return "iss and sub have to be the client_id"
	case !isAudience(a.Aud, issuer):
		return "aud has to be " + issuer
	case a.Jti == "" || len(a.Jti) > maxJTI:
		return "jti is missing or too long"
	case a.Iat == 0 || age > assertionAge+clockSkew || age < -clockAhead:
		return "iat is more than a minute ago, or in the future"
	case a.Exp != 0 && (!now.Before(time.Unix(a.Exp, 0).Add(clockSkew)) || time.Unix(a.Exp, 0).Sub(now) > time.Hour):
		return "it has expired, or is good for too long"
	case a.Nbf != 0 && time.Unix(a.Nbf, 0).Sub(now) > clockAhead:
		return "it is not good yet"
	}
	return ""
}

// isAudience takes one name or a list with it.
func isAudience(raw json.RawMessage, issuer string) bool {
	var one string
	if json.Unmarshal(raw, &one) == nil {
		return one == issuer
	}
	var many []string
	return json.Unmarshal(raw, &many) == nil && slices.Contains(many, issuer)
}

// key is the client's key with an id. Keys that were fetched may have been changed since: an id that is not among them
// lets them be fetched again. Errors: [ErrMetadata], [ErrUnavailable].
func (s *Store) key(ctx context.Context, from fair.Path, c *Client, id string) (*jose.Key, error) {
	for _, anew := range []bool{false, true} {
		keys, err := s.keys(ctx, from, c, anew)
		if err != nil {
			return nil, err
		}
		for _, k := range keys {
			if k.ID == id {
				return k, nil
			}
		}
		if c.KeysURL == "" {
			break
		}
	}
	return nil, nil
}

// HasKey says whether the key that a session began with is still among the client's. Errors: [ErrMetadata],
// [ErrUnavailable].
func (s *Store) HasKey(ctx context.Context, from fair.Path, c *Client, id, thumbprint string) (bool, error) {
	key, err := s.key(ctx, from, c, id)
	return key != nil && key.Thumbprint == thumbprint, err
}

// ParseRequest reads what a client asks for in a signed token instead of plain parameters. The claims are its
// parameters. Errors: [ErrAuthentication] and those of its keys.
// spec: RFC 9101
func (s *Store) ParseRequest(ctx context.Context, from fair.Path, c *Client, text, issuer string) (params map[string]string, once Proved, err error) {
	refuse := func(why string, args ...any) (map[string]string, Proved, error) {
		return nil, Proved{}, fmt.Errorf("%w: request: %s", ErrAuthentication, fmt.Sprintf(why, args...))
	}
	t, err := jose.Parse(text)
	if err != nil {
		return refuse("%v", err)
	}
	var claims map[string]any
	var a assertion
	if t.Claims(&claims) != nil || t.Claims(&a) != nil {
		return refuse("malformed claims")
	}
	now := s.cfg.Now()
	age := now.Sub(time.Unix(a.Iat, 0))
	until := now.Add(assertionKept)
	switch {
	case a.Iss != c.ID || claims["client_id"] != c.ID:
		return refuse("iss and client_id have to be the client_id")
	case !isAudience(a.Aud, issuer):
		return refuse("aud has to be %s", issuer)
	case a.Exp != 0 && !now.Before(time.Unix(a.Exp, 0).Add(clockSkew)):
		return refuse("it has expired")
	case claims["request"] != nil || claims["request_uri"] != nil:
		return refuse("it names another request")
	case t.Header.Alg == "none":
		if len(t.Payload) == 0 || c.Confidential {
			return refuse("it is not signed")
		}
	case a.Jti == "" || a.Iat == 0 || age > 59*time.Second || age < -clockAhead:
		return refuse("it needs jti, and iat less than a minute ago")
	}
	if t.Header.Alg != "none" {
		key, err := s.key(ctx, from, c, t.Header.Kid)
		if err != nil {
			return nil, Proved{}, err
		}
		if key == nil || t.Verify(key) != nil {
			return refuse("its signature is not of one of the client's keys")
		}
		once = Proved{KeyID: key.ID, Alg: t.Header.Alg, Thumbprint: key.Thumbprint, Once: sha256.Sum256([]byte("request\x00" + c.ID + "\x00" + a.Jti)), Until: until}
	}
	params = map[string]string{}
	for key, value := range claims {
		switch v := value.(type) {
		case string:
			params[key] = v
		default:
			if !slices.Contains([]string{"iat", "exp", "nbf", "aud", "cnf"}, key) {
				return refuse("%s is not text", key)
			}
		}
	}
	return params, once, nil
}
