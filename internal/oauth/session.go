package oauth

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/oauth/client"
)

// Session is what an account granted to a client, while the client uses it.
type Session struct {
	ID         []byte
	AID        int64
	Epoch      int64
	ClientID   string
	Key        client.Proved
	JKT        string
	Granted    string // as it was asked for
	Scope      string // what it opens now
	Device     []byte
	Generation int64
	CreatedAt  time.Time
	RotatedAt  time.Time
	EndsAt     time.Time
	ExpiresAt  time.Time
}

// AccessUntil is when an access token of now ends: never after the session.
func (s *Session) AccessUntil(now time.Time) time.Time {
	until := now.Add(AccessLife)
	if s.ExpiresAt.Before(until) {
		return s.ExpiresAt
	}
	return until
}

// Holder is who shows a code or a refresh token.
type Holder struct {
	Client *client.Client
	Key    client.Proved // of a confidential client
	JKT    string        // of its proof of possession
}

// Code is a code that was taken, before its session begins.
type Code struct {
	Request *Request
	AID     int64
	Granted string
	hash    []byte
}

// Compromised: what was shown has been shown before, or by somebody else. Sessions of it are ended; the caller commits
// that, and then says what the refusal says.
type Compromised struct {
	Refusal
	AID    int64
	Device []byte // where it began: to be signed out; nil
}

func (c *Compromised) Error() string { return c.Refusal.Error() }

// Unwrap gives what the client is told.
func (c *Compromised) Unwrap() error { return &c.Refusal }

// TakeCode uses a code up. verifier and redirect are as the token request has them. A code that was used before ends its
// session, unless the very holder of the session repeats itself. Errors: a [Refusal], [Compromised].
// spec: oauth#authorization-requests
func TakeCode(ctx context.Context, q *tenantdb.Queries, h Holder, code, verifier, redirect string, now time.Time) (*Code, error) {
	row, err := q.LockOAuthRequestByCode(ctx, stored(code))
	if db.IsNoRows(err) {
		return nil, usedCode(ctx, q, h, code, now)
	}
	if err != nil {
		return nil, fmt.Errorf("lock code: %w", err)
	}
	r, err := requestOf(tenantdb.LockOAuthRequestRow{ID: row.ID, ClientID: row.ClientID, Params: row.Params, ClientKey: row.ClientKey, Device: row.Device, AID: row.AID, ExpiresAt: row.ExpiresAt})
	if err != nil {
		return nil, err
	}
	// From here on the code is gone, whatever else is wrong: nobody gets a second try at it.
	if _, err := q.DeleteOAuthRequest(ctx, row.ID); err != nil {
		return nil, fmt.Errorf("use code: %w", err)
	}
	refuse := func(text string) error {
		return &Compromised{Refusal: Refusal{InvalidGrant, text}, AID: row.AID}
	}
	switch {
	case !r.ExpiresAt.After(now):
		return nil, refuse("the code has expired")
	case r.ClientID != h.Client.ID:
		return nil, refuse("the code was not given to this client")
	case r.Params.HasRedirect && redirect != r.Params.Redirect, !r.Params.HasRedirect && redirect != "" && redirect != r.Params.Redirect:
		return nil, refuse("redirect_uri is not that of the request")
	case !provesChallenge(verifier, r.Params.Challenge):
		return nil, refuse("code_verifier does not fit the code_challenge")
	case r.Params.JKT != "" && r.Params.JKT != h.JKT:
		return nil, refuse("the DPoP proof is of another key than the request's")
	case !r.Key.SameKey(h.Key):
		return nil, refuse("the client proved itself with another key than for the request")
	}
	challenge := sha256.Sum256([]byte("pkce\x00" + r.Params.Challenge))
	if fresh, err := useUp(ctx, q, challenge, now.Add(ChallengeKept)); err != nil {
		return nil, err
	} else if !fresh {
		return nil, refuse("the code_challenge has served another code")
	}
	return &Code{Request: r, AID: row.AID, Granted: row.Granted, hash: stored(code)}, nil
}

// GrantedBy is whose code it is, and what was granted; "" for a code that nobody has.
func GrantedBy(ctx context.Context, q *tenantdb.Queries, code string) (did, granted string, err error) {
	row, err := q.GetOAuthRequestGranted(ctx, stored(code))
	if db.IsNoRows(err) {
		return "", "", nil
	}
	if err != nil {
		return "", "", fmt.Errorf("code: %w", err)
	}
	return row.DID, row.Granted, nil
}

func usedCode(ctx context.Context, q *tenantdb.Queries, h Holder, code string, now time.Time) error {
	s, err := q.LockOAuthSessionByCode(ctx, stored(code))
	if db.IsNoRows(err) {
		return Refuse(InvalidGrant, "the code is unknown or has expired")
	}
	if err != nil {
		return fmt.Errorf("look for used code: %w", err)
	}
	if s.ClientID == h.Client.ID && s.Jkt == h.JKT && now.Sub(s.CreatedAt) < CodeLife {
		return Refuse(InvalidGrant, "the code was used a moment ago, by the same client and key")
	}
	if _, err := q.DeleteOAuthSession(ctx, s.ID); err != nil {
		return fmt.Errorf("end session: %w", err)
	}
	return &Compromised{Refusal: Refusal{InvalidGrant, "the code was used before: its session has been ended"}, AID: s.AID, Device: s.Device}
}

// provesChallenge says whether a verifier is the one that a challenge was made of.
// spec: RFC 7636 section 4.6
func provesChallenge(verifier, challenge string) bool {
	if len(verifier) < 43 || len(verifier) > 128 {
		return false
	}
	for i := range len(verifier) {
		c := verifier[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '.' || c == '_' || c == '~') {
			return false
		}
	}
	sum := sha256.Sum256([]byte(verifier))
	return subtle.ConstantTimeCompare([]byte(base64.RawURLEncoding.EncodeToString(sum[:])), []byte(challenge)) == 1
}

// NewSession is the session that a code leads to. trusted: the client is the operator's own. scope is what it opens,
// permission sets expanded.
func NewSession(c *Code, h Holder, epoch int64, scope string, trusted bool, now time.Time) *Session {
	s := &Session{
		ID: newSessionID(), AID: c.AID, Epoch: epoch, ClientID: h.Client.ID, Key: h.Key, JKT: h.JKT, Granted: c.Granted, Scope: scope,
		Device: c.Request.Device, Generation: 1, CreatedAt: now, RotatedAt: now,
	}
	long := h.Client.Confidential || trusted
	s.EndsAt = now.Add(PublicLife)
	if long {
		s.EndsAt = now.Add(ConfidentialLife)
	}
	s.ExpiresAt = s.until(now)
	if !h.Client.Refreshes {
		s.EndsAt, s.ExpiresAt = now.Add(AccessLife), now.Add(AccessLife)
	}
	return s
}

func (s *Session) until(now time.Time) time.Time {
	if until := now.Add(ConfidentialIdle); until.Before(s.EndsAt) {
		return until
	}
	return s.EndsAt
}

// Insert stores a session that begins, and lets the oldest of too many go.
func (s *Session) Insert(ctx context.Context, q *tenantdb.Queries, c *Code, name string) error {
	if _, err := q.DeleteOldestOAuthSessionsOf(ctx, tenantdb.DeleteOldestOAuthSessionsOfParams{AID: s.AID, Keep: MaxSessions - 1}); err != nil {
		return fmt.Errorf("make room for a session: %w", err)
	}
	err := q.InsertOAuthSession(ctx, tenantdb.InsertOAuthSessionParams{
		ID: s.ID, AID: s.AID, Epoch: s.Epoch, ClientID: s.ClientID, ClientName: name, ClientKey: keyText(s.Key), Jkt: s.JKT, Granted: s.Granted, Scope: s.Scope,
		Code: c.hash, Device: s.Device, Now: s.CreatedAt, EndsAt: s.EndsAt, ExpiresAt: s.ExpiresAt,
	})
	if err != nil {
		return fmt.Errorf("store session: %w", err)
	}
	return nil
}

// Get reads a session. Errors: a [Refusal].
func Get(ctx context.Context, q *tenantdb.Queries, id []byte) (*Session, string, error) {
	r, err := q.GetOAuthSessionWhole(ctx, id)
	if db.IsNoRows(err) {
		return nil, "", Refuse(InvalidGrant, "the session has ended")
	}
	if err != nil {
		return nil, "", fmt.Errorf("session: %w", err)
	}
	return &Session{
		ID: r.ID, AID: r.AID, Epoch: r.Epoch, ClientID: r.ClientID, Key: keyOf(r.ClientKey), JKT: r.Jkt, Granted: r.Granted, Scope: r.Scope, Device: r.Device,
		Generation: r.Generation, CreatedAt: r.CreatedAt, RotatedAt: r.RotatedAt, EndsAt: r.EndsAt, ExpiresAt: r.ExpiresAt,
	}, r.DID, nil
}

// Rotate uses the refresh token of a generation: the session goes on with the next one. Who lost the answer and asks again
// within [Grace], with the same keys, gets what it would have got. Everything else that does not fit ends the session,
// because somebody has what is not theirs. scope is what the session opens now; epoch is the account's.
// Errors: a [Refusal], [Compromised].
// spec: oauth#tokens-and-session-lifetime
func Rotate(ctx context.Context, q *tenantdb.Queries, h Holder, id []byte, generation, epoch int64, scope string, now time.Time) (*Session, error) {
	r, err := q.LockOAuthSession(ctx, id)
	if db.IsNoRows(err) {
		return nil, Refuse(InvalidGrant, "the session has ended")
	}
	if err != nil {
		return nil, fmt.Errorf("lock session: %w", err)
	}
	s := &Session{
		ID: r.ID, AID: r.AID, Epoch: r.Epoch, ClientID: r.ClientID, Key: keyOf(r.ClientKey), JKT: r.Jkt, Granted: r.Granted, Scope: r.Scope, Device: r.Device,
		Generation: r.Generation, CreatedAt: r.CreatedAt, RotatedAt: r.RotatedAt, EndsAt: r.EndsAt, ExpiresAt: r.ExpiresAt,
	}
	switch {
	case s.Epoch != epoch, !s.ExpiresAt.After(now):
		_, err := q.DeleteOAuthSession(ctx, id)
		if err != nil {
			return nil, fmt.Errorf("end session: %w", err)
		}
		return nil, &Compromised{Refusal: Refusal{InvalidGrant, "the session has ended"}, AID: s.AID}
	case s.ClientID != h.Client.ID:
		return nil, s.end(ctx, q, "the refresh token was not given to this client")
	case s.JKT != h.JKT:
		return nil, s.end(ctx, q, "the DPoP proof is of another key than the session's")
	case !s.sameClientKey(h):
		return nil, s.end(ctx, q, "the client proved itself with another key than the session's")
	case generation == s.Generation-1 && now.Sub(s.RotatedAt) <= Grace:
		return s, nil // the same tokens again
	case generation != s.Generation:
		return nil, s.end(ctx, q, "the refresh token was used before: the session has been ended")
	}
	s.Generation++
	s.RotatedAt, s.Scope, s.ExpiresAt = now, scope, s.until(now)
	if !s.Key.Any() {
		s.Key = h.Key // the client has become confidential, and stays so
	}
	err = q.UpdateOAuthSessionRotated(ctx, tenantdb.UpdateOAuthSessionRotatedParams{ID: id, Generation: s.Generation, Scope: scope, ClientKey: keyText(s.Key), Now: now, ExpiresAt: s.ExpiresAt})
	if err != nil {
		return nil, fmt.Errorf("go on with session: %w", err)
	}
	return s, nil
}

// sameClientKey: a session of a confidential client goes on with the key that it began with. A client that was public may
// become confidential, never the other way round.
func (s *Session) sameClientKey(h Holder) bool {
	return !s.Key.Any() || s.Key.SameKey(h.Key)
}

func (s *Session) end(ctx context.Context, q *tenantdb.Queries, why string) error {
	if _, err := q.DeleteOAuthSession(ctx, s.ID); err != nil {
		return fmt.Errorf("end session: %w", err)
	}
	return &Compromised{Refusal: Refusal{InvalidGrant, why}, AID: s.AID}
}

// End ends a session, if it is the client's. Errors: a [Refusal] when it is another client's.
func End(ctx context.Context, q *tenantdb.Queries, id []byte, clientID string) error {
	r, err := q.LockOAuthSession(ctx, id)
	if db.IsNoRows(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("lock session: %w", err)
	}
	if r.ClientID != clientID {
		return Refuse(InvalidClient, "the token was not given to this client")
	}
	if _, err := q.DeleteOAuthSession(ctx, id); err != nil {
		return fmt.Errorf("end session: %w", err)
	}
	return nil
}

// App is a session as its owner sees it.
type App struct {
	ID         []byte
	ClientID   string
	Name       string
	Granted    string
	Scope      string
	Device     []byte
	Since      time.Time
	LastUsed   time.Time // when it was refreshed last
	Expires    time.Time
	ThisDevice bool
}

// Apps are an account's sessions, the last used first.
func Apps(ctx context.Context, q *tenantdb.Queries, aid int64, device []byte, now time.Time) ([]App, error) {
	rows, err := q.ListOAuthSessionsOf(ctx, tenantdb.ListOAuthSessionsOfParams{AID: aid, Now: now, MaxRows: MaxSessions})
	if err != nil {
		return nil, fmt.Errorf("sessions: %w", err)
	}
	var out []App
	for _, r := range rows {
		out = append(out, App{r.ID, r.ClientID, r.ClientName, r.Granted, r.Scope, r.Device, r.CreatedAt, r.RotatedAt, r.ExpiresAt, device != nil && bytes.Equal(device, r.Device)})
	}
	return out, nil
}
