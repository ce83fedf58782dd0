package auth

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/bluesky-social/indigo/atproto/atcrypto"
	"github.com/go-json-experiment/json"

	"github.com/auroralocus/locus/internal/identity"
	"github.com/auroralocus/locus/internal/tenant"
)

// Errors of service tokens. All are 401 with the name that stands beside them.
var (
	// ErrServiceMissing: MissingJwt "missing jwt".
	ErrServiceMissing = errors.New("no service token")
	// ErrServiceForm: BadJwt "poorly formatted jwt".
	ErrServiceForm = errors.New("malformed service token")
	// ErrServiceType: BadJwtType. A session's or DPoP token.
	ErrServiceType = errors.New("not a service token")
	// ErrServiceExpired: JwtExpired "jwt expired".
	ErrServiceExpired = errors.New("service token has expired")
	// ErrServiceAudience: BadJwtAudience. It is for another service.
	ErrServiceAudience = errors.New("service token is for another service")
	// ErrServiceMethod: BadJwtLexiconMethod. It is for another method, or for none.
	ErrServiceMethod = errors.New("service token is for another method")
	// ErrServiceIssuer: BadJwtIss. No DID, or none that has a key.
	ErrServiceIssuer = errors.New("service token's issuer cannot be resolved")
	// ErrServiceSignature: BadJwtSignature. Not signed by the issuer's key.
	ErrServiceSignature = errors.New("service token's signature does not verify")
)

const (
	algES256K = "ES256K"
	algES256  = "ES256"
)

// serviceHead is the header of the service tokens that are written here: accounts' keys are K-256.
var serviceHead = b64.EncodeToString([]byte(`{"typ":"JWT","alg":"ES256K"}`))

// serviceClaims of a service token.
// spec: xrpc#inter-service-authentication-jwt
type serviceClaims struct {
	Iss string `json:"iss"`
	Aud string `json:"aud"`
	Iat int64  `json:"iat,omitzero"`
	Exp int64  `json:"exp"`
	Lxm string `json:"lxm,omitzero"`
	Jti string `json:"jti,omitzero"`
}

// Signer signs with an account's key; *keyring.Signer is one.
type Signer interface {
	Sign(msg []byte) ([]byte, error)
}

// MintService makes a token with which another service can be called in an account's name. method may be "": good for
// any, which few services take.
func MintService(key Signer, now, exp time.Time, iss, aud, method string) (string, error) {
	var jti [16]byte
	_, _ = rand.Read(jti[:]) // never fails: the runtime ends the process instead
	body, err := json.Marshal(serviceClaims{Iss: iss, Aud: aud, Iat: now.Unix(), Exp: exp.Unix(), Lxm: method, Jti: hex.EncodeToString(jti[:])})
	if err != nil {
		return "", fmt.Errorf("service token: %w", err)
	}
	var signErr error
	token := appendJWS(serviceHead, body, func(signed []byte) (sig []byte) {
		sig, signErr = key.Sign(signed)
		return sig
	})
	if signErr != nil {
		return "", fmt.Errorf("service token: %w", signErr)
	}
	return token, nil
}

// Services checks the tokens with which others call us. It is safe for concurrent use.
type Services struct {
	documents *identity.Resolver
	now       func() time.Time
}

// NewServices makes the part that checks service tokens.
func NewServices(documents *identity.Resolver, now func() time.Time) *Services {
	return &Services{documents, now}
}

// The fragments that an issuer may have, and the key that signs for each.
// spec: xrpc#inter-service-authentication-jwt
var issuerKeys = map[string]string{"": identity.KeyAtproto, "atproto_labeler": "atproto_label"}

// otherTypes are tokens that are signed alike and mean something else.
var otherTypes = []string{typAccess, typRefresh, "dpop+jwt"}

// Service establishes another service, or an account at another server, that calls a method (an NSID) here. The
// issuer's document is fetched anew when the known one does not verify the token: keys change. Errors: those above, and
// [identity.ErrDIDUnavailable].
func (s *Services) Service(ctx context.Context, t *tenant.Tenant, authorization, method string) (Service, error) {
	if authorization == "" {
		return Service{}, ErrServiceMissing
	}
	token, err := bearer(authorization)
	if err != nil {
		return Service{}, ErrServiceMissing
	}
	j, ok := parseJWS(token)
	if !ok {
		return Service{}, ErrServiceForm
	}
	if slices.Contains(otherTypes, strings.ToLower(j.header.Typ)) {
		return Service{}, ErrServiceType
	}
	var c serviceClaims
	if json.Unmarshal(j.payload, &c) != nil || c.Iss == "" || c.Aud == "" || c.Exp == 0 {
		return Service{}, ErrServiceForm
	}
	switch {
	case c.Exp <= s.now().Unix():
		return Service{}, ErrServiceExpired
	case c.Aud != t.ServiceDID:
		return Service{}, ErrServiceAudience
	case c.Lxm != method:
		return Service{}, ErrServiceMethod
	}
	did, fragment, _ := strings.Cut(c.Iss, "#")
	name, known := issuerKeys[fragment]
	if !known || strings.HasSuffix(c.Iss, "#") {
		return Service{}, ErrServiceIssuer
	}
	doc, err := s.documents.Resolve(ctx, did)
	if err == nil && verifies(doc, name, &j) {
		return Service{Issuer: c.Iss, Method: c.Lxm}, nil
	}
	if doc, err = s.documents.Refresh(ctx, did); err != nil {
		if errors.Is(err, identity.ErrDIDUnavailable) {
			return Service{}, err
		}
		return Service{}, fmt.Errorf("%w: %w", ErrServiceIssuer, err)
	}
	if _, err := doc.Key(name); err != nil {
		return Service{}, fmt.Errorf("%w: %w", ErrServiceIssuer, err)
	}
	if !verifies(doc, name, &j) {
		return Service{}, ErrServiceSignature
	}
	return Service{Issuer: c.Iss, Method: c.Lxm}, nil
}

// verifies checks the signature with the document's key. A high s is tolerated: tokens are no identifiers, and some
// libraries make them.
func verifies(doc *identity.Document, name string, j *jws) bool {
	key, err := doc.Key(name)
	if err != nil || j.header.Alg != algOf(key) {
		return false
	}
	return key.HashAndVerifyLenient(j.signed, j.sig) == nil
}

func algOf(key atcrypto.PublicKey) string {
	switch key.(type) {
	case *atcrypto.PublicKeyK256:
		return algES256K
	case *atcrypto.PublicKeyP256:
		return algES256
	}
	return "none of ours"
}
