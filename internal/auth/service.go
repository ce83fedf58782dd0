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

// Errors of service tokens.
var (
	// ErrServiceMissing: there is no bearer token.
	ErrServiceMissing = errors.New("no service token")
	// ErrServiceForm: it is no JWT, or lacks a claim.
	ErrServiceForm = errors.New("malformed service token")
	// ErrServiceType: a session's or DPoP token.
	ErrServiceType = errors.New("not a service token")
	// ErrServiceExpired: its time is over.
	ErrServiceExpired = errors.New("service token has expired")
	// ErrServiceAudience: it is for another service.
	ErrServiceAudience = errors.New("service token is for another service")
	// ErrServiceMethod: it is for another method, or for none.
	ErrServiceMethod = errors.New("service token is for another method")
	// ErrServiceIssuer: no DID, or none that has a key.
	ErrServiceIssuer = errors.New("service token's issuer cannot be resolved")
	// ErrServiceSignature: not signed by the issuer's key.
	ErrServiceSignature = errors.New("service token's signature does not verify")
	// ErrServiceTime: it is from the future, or good for longer than any may be.
	ErrServiceTime = errors.New("service token's times cannot be")
	// ErrServiceUsed: it did already what may happen once.
	ErrServiceUsed = errors.New("service token was used before")
)

const (
	// ServiceLife is how far ahead a token's end may lie: getServiceAuth gives none that live longer, here and elsewhere.
	ServiceLife = time.Hour
	// serviceSkew is how wrong the clock of another server may be.
	serviceSkew = 5 * time.Minute
)

const (
	algES256K = "ES256K"
	algES256  = "ES256"
)

// serviceHead is the header of the service tokens that are written here: accounts' keys are K-256.
var serviceHead = b64.EncodeToString([]byte(`{"typ":"JWT","alg":"ES256K"}`))

// serviceClaims of a service token. The times are numbers as others write them: some write fractions.
// spec: xrpc#inter-service-authentication-jwt
type serviceClaims struct {
	Iss string  `json:"iss"`
	Aud string  `json:"aud"`
	Iat float64 `json:"iat,omitzero"`
	Nbf float64 `json:"nbf,omitzero"`
	Exp float64 `json:"exp"`
	Lxm string  `json:"lxm,omitzero"`
	Jti string  `json:"jti,omitzero"`
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
	body, err := json.Marshal(serviceClaims{Iss: iss, Aud: aud, Iat: float64(now.Unix()), Exp: float64(exp.Unix()), Lxm: method, Jti: hex.EncodeToString(jti[:])})
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
	refetch   *refetch
}

// NewServices makes the part that checks service tokens.
func NewServices(documents *identity.Resolver, now func() time.Time) *Services {
	return &Services{documents: documents, now: now, refetch: newRefetch(now)}
}

// The fragments that an issuer may have, and the key that signs for each.
// spec: xrpc#inter-service-authentication-jwt
var issuerKeys = map[string]string{"": identity.KeyAtproto, "atproto_labeler": "atproto_label"}

// otherTypes are tokens that are signed alike and mean something else.
var otherTypes = []string{typAccess, typRefresh, "dpop+jwt"}

// Claim is a service token whose signature nobody has looked at: what it says may be a lie. [Services.Prove] ends that.
type Claim struct {
	Issuer string // DID, perhaps with #fragment

	did, key string // whose document has the key, and its name there
	jws      jws
	service  Service
}

// IsService says whether a bearer header holds a service token rather than a session's: it names a method, which no
// session token does.
func IsService(authorization string) bool {
	token, err := bearer(authorization)
	if err != nil || strings.HasPrefix(token, accessHead) || strings.HasPrefix(token, refreshHead) {
		return false // ours, told without JSON
	}
	j, ok := parseJWS(token)
	var c struct {
		Lxm any `json:"lxm"`
	}
	return ok && json.Unmarshal(j.payload, &c) == nil && c.Lxm != nil
}

// Service establishes another service, or an account at another server, that calls a method (an NSID) here. Errors: as
// of [Services.Read] and [Services.Prove].
func (s *Services) Service(ctx context.Context, who identity.Asker, t *tenant.Tenant, authorization, method string) (Service, error) {
	c, err := s.Read(t, authorization, method)
	if err != nil {
		return Service{}, err
	}
	return s.Prove(ctx, who, c)
}

// Read takes a token apart and refuses what cannot be for this method of this tenant now. It asks nobody outside. A
// caller that knows which issuers are possible looks at the issuer before [Services.Prove] goes to the network. Errors:
// [ErrServiceMissing], [ErrServiceForm], [ErrServiceType], [ErrServiceExpired], [ErrServiceTime], [ErrServiceAudience],
// [ErrServiceMethod], [ErrServiceIssuer].
func (s *Services) Read(t *tenant.Tenant, authorization, method string) (Claim, error) {
	token, err := bearer(authorization)
	if err != nil {
		return Claim{}, ErrServiceMissing
	}
	j, ok := parseJWS(token)
	if !ok {
		return Claim{}, ErrServiceForm
	}
	if slices.Contains(otherTypes, strings.ToLower(j.header.Typ)) {
		return Claim{}, ErrServiceType
	}
	var c serviceClaims
	if json.Unmarshal(j.payload, &c) != nil || c.Iss == "" || c.Aud == "" || c.Exp == 0 {
		return Claim{}, ErrServiceForm
	}
	now := float64(s.now().UnixMilli()) / 1000
	latest := now + serviceSkew.Seconds()
	switch {
	case c.Exp <= now:
		return Claim{}, ErrServiceExpired
	case c.Exp > latest+ServiceLife.Seconds(), c.Iat > latest, c.Nbf > latest, c.Iat < 0, c.Iat > c.Exp:
		return Claim{}, ErrServiceTime
	case !ForUs(t, c.Aud):
		return Claim{}, ErrServiceAudience
	case c.Lxm != method:
		return Claim{}, ErrServiceMethod
	}
	did, fragment, _ := strings.Cut(c.Iss, "#")
	name, known := issuerKeys[fragment]
	if !known || strings.HasSuffix(c.Iss, "#") {
		return Claim{}, ErrServiceIssuer
	}
	return Claim{Issuer: c.Iss, did: did, key: name, service: Service{
		Issuer: c.Iss, Method: c.Lxm, nonce: nonceOf(c, j.signed), expires: time.Unix(int64(c.Exp)+1, 0),
	}, jws: j}, nil
}

// ForUs says whether an audience is this server, also by a name that it had: its DID alone, or with the name of its one entry.
// spec: xrpc#inter-service-authentication-jwt
func ForUs(t *tenant.Tenant, aud string) bool {
	did, fragment, named := strings.Cut(aud, "#")
	return t.IsService(did) && (!named || fragment == identity.ServicePDS)
}

// Prove checks the signature with the key in the issuer's document. When the known document does not verify the token,
// it is fetched anew: keys change. That happens only every few seconds for one issuer, and counts against the caller's
// limit. So bad tokens cannot make this server flood others with requests. Errors: [ErrServiceIssuer],
// [ErrServiceSignature], [identity.ErrDIDUnavailable], and the asker's.
func (s *Services) Prove(ctx context.Context, who identity.Asker, c Claim) (Service, error) {
	doc, err := s.documents.Resolve(ctx, who, c.did)
	if err != nil {
		return Service{}, noDocument(err)
	}
	if verifies(doc, c.key, &c.jws) {
		return c.service, nil
	}
	if s.refetch.may(who.Scope, c.did, s.now()) {
		if doc, err = s.documents.Refresh(ctx, who, c.did); err != nil {
			return Service{}, noDocument(err)
		}
	}
	switch _, err := doc.Key(c.key); {
	case err != nil:
		return Service{}, fmt.Errorf("%w: %w", ErrServiceIssuer, err)
	case !verifies(doc, c.key, &c.jws):
		return Service{}, ErrServiceSignature
	}
	return c.service, nil
}

// noDocument is what it means that an issuer has no document.
func noDocument(err error) error {
	for _, its := range []error{identity.ErrDIDSyntax, identity.ErrDIDMethod, identity.ErrDIDNotFound, identity.ErrDIDTombstoned, identity.ErrDocument} {
		if errors.Is(err, its) {
			return fmt.Errorf("%w: %w", ErrServiceIssuer, err)
		}
	}
	return err
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
