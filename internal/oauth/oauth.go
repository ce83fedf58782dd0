// Package oauth is the authorization server's rows and rules: what clients ask for, what accounts granted, and the tokens
// that come of it. It is handed a transaction and begins none; pages, sockets and other servers are not its business.
//
// A request lives from the moment a client pushes it until its code is redeemed. A session lives from then on. Of tokens
// nothing is stored: a refresh token is the session's id and the generation of its tokens, with a MAC of the tenant's.
// So the answer to a refresh can be given twice, and a stolen database opens nothing.
// spec: oauth#authorization-servers
package oauth

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// How long things are good for.
// spec: oauth#tokens-and-session-lifetime
const (
	RequestLife = 5 * time.Minute // from the last visit
	CodeLife    = 60 * time.Second
	AccessLife  = 15 * time.Minute
	// PublicLife ends a session of a client that cannot keep a key, whatever it does.
	PublicLife = 14 * 24 * time.Hour
	// ConfidentialLife ends one of a client that can; ConfidentialIdle, one that is not refreshed.
	ConfidentialLife = 2 * 365 * 24 * time.Hour
	ConfidentialIdle = 90 * 24 * time.Hour
	// Grace is how long the tokens of the last refresh are given again to who lost the answer.
	Grace = 60 * time.Second
	// ChallengeKept is how long a PKCE challenge that has served a code cannot serve another.
	ChallengeKept = 24 * time.Hour
	// MaxSessions is how many an account has at most; the one that was unused for longest makes room.
	MaxSessions = 200
)

// Names of errors, as clients get them.
// spec: RFC 6749 sections 4.1.2.1 and 5.2, RFC 9449 section 12.2
const (
	InvalidRequest        = "invalid_request"
	InvalidClient         = "invalid_client"
	InvalidClientMetadata = "invalid_client_metadata"
	InvalidClientID       = "invalid_client_id"
	InvalidRedirectURI    = "invalid_redirect_uri"
	InvalidScope          = "invalid_scope"
	InvalidGrant          = "invalid_grant"
	UnsupportedGrant      = "unsupported_grant_type"
	UnsupportedResponse   = "unsupported_response_type"
	UseDPoPNonce          = "use_dpop_nonce"
	InvalidDPoPProof      = "invalid_dpop_proof"
	AccessDenied          = "access_denied"
	LoginRequired         = "login_required"
	ConsentRequired       = "consent_required"
	SelectionRequired     = "account_selection_required"
	TemporarilyAway       = "temporarily_unavailable"
)

// Refusal is an error whose name and text are for the client.
type Refusal struct {
	Name string
	Text string
}

func (r *Refusal) Error() string { return r.Name + ": " + r.Text }

// Refuse makes one.
func Refuse(name, format string, args ...any) error {
	return &Refusal{name, fmt.Sprintf(format, args...)}
}

// ErrRequest: there is no such request, or it is over.
var ErrRequest = errors.New("the authorization request is unknown or has expired")

// ErrDevice: another browser acted on the request first.
var ErrDevice = errors.New("the authorization request belongs to another browser")

// requestPrefix is in front of what a pushed request is called by.
const requestPrefix = "urn:ietf:params:oauth:request_uri:req-"

// drawn is something random to give out, with a prefix.
func drawn(prefix string) string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	return prefix + base64.RawURLEncoding.EncodeToString(b[:])
}

// stored is how something that was given out is kept.
func stored(text string) []byte {
	sum := sha256.Sum256([]byte(text))
	return sum[:]
}

// MAC signs what a tenant gives out and takes back: keyring's.
type MAC interface {
	Sign(msg []byte) []byte
	Verify(msg, tag []byte) bool
}

const (
	refreshPrefix = "ref-"
	idBytes       = 16
	tokenBytes    = idBytes + 8
)

// TokenID names the access token of a generation: its jti.
func TokenID(session []byte, generation int64) string {
	return base64.RawURLEncoding.EncodeToString(binary.BigEndian.AppendUint64(append([]byte{}, session...), uint64(generation)))
}

// ParseTokenID takes a jti apart.
func ParseTokenID(jti string) (session []byte, generation int64, ok bool) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(jti)
	if err != nil || len(raw) != tokenBytes {
		return nil, 0, false
	}
	return raw[:idBytes], int64(binary.BigEndian.Uint64(raw[idBytes:])), true
}

// RefreshToken is the refresh token of a generation.
func RefreshToken(mac MAC, session []byte, generation int64) string {
	raw := binary.BigEndian.AppendUint64(append([]byte{}, session...), uint64(generation))
	return refreshPrefix + base64.RawURLEncoding.EncodeToString(append(raw, mac.Sign(refreshMessage(raw))...))
}

// ParseRefreshToken takes one apart; false for what this tenant never gave out.
func ParseRefreshToken(mac MAC, token string) (session []byte, generation int64, ok bool) {
	if len(token) > 200 || len(token) < len(refreshPrefix) || token[:len(refreshPrefix)] != refreshPrefix {
		return nil, 0, false
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token[len(refreshPrefix):])
	if err != nil || len(raw) <= tokenBytes || !mac.Verify(refreshMessage(raw[:tokenBytes]), raw[tokenBytes:]) {
		return nil, 0, false
	}
	return raw[:idBytes], int64(binary.BigEndian.Uint64(raw[idBytes:tokenBytes])), true
}

func refreshMessage(raw []byte) []byte { return append([]byte("oauth refresh token\x00"), raw...) }

func newSessionID() []byte {
	b := make([]byte, idBytes)
	_, _ = rand.Read(b)
	return b
}
