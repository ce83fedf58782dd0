package operator

import (
	"context"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/controldb"
)

// Browser is where an operator sits.
type Browser struct{ Address, Agent string }

// Session is an operator signed in on a browser.
type Session struct {
	Who       Ref
	Way       string
	CreatedAt time.Time
	SeenAt    time.Time
	EndsAt    time.Time
	Browser
	hash []byte
}

// ID names a session in lists. It opens nothing.
func (s Session) ID() string { return hex.EncodeToString(s.hash) }

// Setup says whether only a second factor can be set up in it.
func (s Session) Setup() bool { return s.Way == ByLink }

// Begin signs an operator in, and ends its oldest session where there are too many. The secret is for the browser's cookie.
func Begin(ctx context.Context, q *controldb.Queries, now time.Time, who Ref, way string, b Browser) (secret string, s Session, err error) {
	secret = NewSecret()
	life := Life
	if way == ByLink {
		life = SetupLife
	}
	b.Agent = clean(b.Agent)
	s = Session{who, way, now, now, now.Add(life), b, hash("session", secret)}
	err = q.InsertOperatorSession(ctx, controldb.InsertOperatorSessionParams{
		SessionHash: s.hash, Who: string(who), Way: way, Now: now, EndsAt: s.EndsAt, Address: b.Address, Agent: b.Agent,
	})
	if err == nil {
		err = q.DeleteOperatorSessionsBeyond(ctx, controldb.DeleteOperatorSessionsBeyondParams{Who: string(who), Keep: MaxSessions})
	}
	if err != nil {
		return "", s, fmt.Errorf("begin a session of %s: %w", who, err)
	}
	return secret, s, nil
}

// maxAgent bounds what is kept of a browser's name.
const maxAgent = 300

func clean(agent string) string {
	return strings.ToValidUTF8(strings.ReplaceAll(agent[:min(len(agent), maxAgent)], "\x00", ""), "")
}

// See is the session that a cookie's secret belongs to; that somebody was seen is noted once a minute. Errors: [ErrNotIn].
func See(ctx context.Context, q *controldb.Queries, now time.Time, secret string) (Session, error) {
	if secret == "" || len(secret) > maxSecret {
		return Session{}, ErrNotIn
	}
	row, err := q.GetOperatorSession(ctx, hash("session", secret))
	if db.IsNoRows(err) || err == nil && (!row.EndsAt.After(now) || now.Sub(row.SeenAt) >= Idle) {
		return Session{}, ErrNotIn
	}
	if err == nil && now.Sub(row.SeenAt) >= seenEvery {
		err = q.UpdateOperatorSessionSeen(ctx, controldb.UpdateOperatorSessionSeenParams{SessionHash: row.SessionHash, Now: now})
	}
	if err != nil {
		return Session{}, fmt.Errorf("look for a session: %w", err)
	}
	return sessionOf(row), nil
}

func sessionOf(row controldb.OperatorSession) Session {
	return Session{Ref(row.Who), row.Way, row.CreatedAt, row.SeenAt, row.EndsAt, Browser{row.Address, row.Agent}, row.SessionHash}
}

// Sessions are the browsers in which an operator is signed in, the newest first.
func Sessions(ctx context.Context, q *controldb.Queries, now time.Time, who Ref) ([]Session, error) {
	rows, err := q.ListOperatorSessions(ctx, controldb.ListOperatorSessionsParams{Who: string(who), Now: now, Idle: now.Add(-Idle), MaxRows: MaxSessions})
	if err != nil {
		return nil, fmt.Errorf("sessions of %s: %w", who, err)
	}
	out := make([]Session, len(rows))
	for i, r := range rows {
		out[i] = sessionOf(r)
	}
	return out, nil
}

// End ends a session by its ID. Errors: [ErrNotIn].
func End(ctx context.Context, q *controldb.Queries, who Ref, id string) error {
	key, err := hex.DecodeString(id)
	if err != nil || len(key) != 32 {
		return ErrNotIn
	}
	n, err := q.DeleteOperatorSession(ctx, controldb.DeleteOperatorSessionParams{Who: string(who), SessionHash: key})
	if err != nil {
		return fmt.Errorf("end a session of %s: %w", who, err)
	}
	if n == 0 {
		return ErrNotIn
	}
	return nil
}

// EndAll ends all sessions of an operator but one; nil: all. It says how many.
func EndAll(ctx context.Context, q *controldb.Queries, who Ref, but *Session) (int64, error) {
	key := []byte{}
	if but != nil {
		key = but.hash
	}
	n, err := q.DeleteOperatorSessions(ctx, controldb.DeleteOperatorSessionsParams{Who: string(who), But: key})
	if err != nil {
		return 0, fmt.Errorf("end the sessions of %s: %w", who, err)
	}
	return n, nil
}

// NewLink makes a link by which an operator gets in once, to set up a second factor. Links made before are dead. Errors:
// [ErrHasFactor].
func NewLink(ctx context.Context, q *controldb.Queries, now time.Time, who Ref, by string) (code string, ends time.Time, err error) {
	n, err := q.CountOperatorFactors(ctx, string(who))
	if err == nil && n > 0 {
		return "", ends, ErrHasFactor
	}
	if err == nil {
		_, err = q.DeleteOperatorLinks(ctx, string(who))
	}
	if err == nil {
		code, ends = newCode(), now.Add(LinkLife)
		err = q.InsertOperatorLink(ctx, controldb.InsertOperatorLinkParams{LinkHash: hash("link", code), Who: string(who), CreatedBy: by, CreatedAt: now, EndsAt: ends})
	}
	if err != nil {
		return "", ends, fmt.Errorf("make a link for %s: %w", who, err)
	}
	return code, ends, nil
}

// UseLink is whom a link lets in. It is used up by that. Errors: [ErrLink].
func UseLink(ctx context.Context, q *controldb.Queries, now time.Time, code string) (Ref, error) {
	if code == "" || len(code) > maxSecret {
		return "", ErrLink
	}
	row, err := q.DeleteOperatorLink(ctx, hash("link", code))
	if db.IsNoRows(err) {
		return "", ErrLink
	}
	if err != nil {
		return "", fmt.Errorf("use a link: %w", err)
	}
	if !row.EndsAt.After(now) {
		return "", ErrLink
	}
	return Ref(row.Who), nil
}

// ForgetTenant takes second factors, sessions and links from all operators of a tenant that is gone, and from the bearers of
// tokens that are for it alone.
func ForgetTenant(ctx context.Context, q *controldb.Queries, id int64) error {
	prefix := string(OfTenant(id, ""))
	if err := q.DeleteOperatorFactorsOfTenant(ctx, controldb.DeleteOperatorFactorsOfTenantParams{Prefix: prefix, TenantID: id}); err != nil {
		return fmt.Errorf("forget second factors of operators of tenant %d: %w", id, err)
	}
	if err := q.DeleteOperatorSessionsOfTenant(ctx, controldb.DeleteOperatorSessionsOfTenantParams{Prefix: prefix, TenantID: id}); err != nil {
		return fmt.Errorf("forget sessions of operators of tenant %d: %w", id, err)
	}
	if err := q.DeleteOperatorLinksOfTenant(ctx, controldb.DeleteOperatorLinksOfTenantParams{Prefix: prefix, TenantID: id}); err != nil {
		return fmt.Errorf("forget links of operators of tenant %d: %w", id, err)
	}
	return nil
}

// forgetRows is how many rows of each kind one look deletes.
const forgetRows = 1000

// Forget deletes what has ended, and the second factors of tokens that have.
func Forget(ctx context.Context, q *controldb.Queries, now time.Time) error {
	if _, err := q.DeleteOperatorSessionsEnded(ctx, controldb.DeleteOperatorSessionsEndedParams{Now: now, MaxRows: forgetRows}); err != nil {
		return fmt.Errorf("forget sessions of operators: %w", err)
	}
	if _, err := q.DeleteOperatorLinksEnded(ctx, controldb.DeleteOperatorLinksEndedParams{Now: now, MaxRows: forgetRows}); err != nil {
		return fmt.Errorf("forget links of operators: %w", err)
	}
	if _, err := q.DeleteOperatorAnswersEnded(ctx, controldb.DeleteOperatorAnswersEndedParams{Now: now, MaxRows: forgetRows}); err != nil {
		return fmt.Errorf("forget answers of operators: %w", err)
	}
	if _, err := q.DeleteOperatorFactorsOrphaned(ctx, controldb.DeleteOperatorFactorsOrphanedParams{Now: now, MaxRows: forgetRows}); err != nil {
		return fmt.Errorf("forget second factors of expired tokens: %w", err)
	}
	return nil
}
