package account

import (
	"context"
	"fmt"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
)

// Info is an account as operators see it.
type Info struct {
	AID              int64      `json:"-"`
	DID              string     `json:"did"`
	Handle           string     `json:"handle,omitempty"`
	Email            string     `json:"email,omitempty"`
	EmailConfirmedAt *time.Time `json:"emailConfirmedAt,omitempty"`
	CreatedAt        time.Time  `json:"createdAt"`
	DeactivatedAt    *time.Time `json:"deactivatedAt,omitempty"`
	DeleteAfter      *time.Time `json:"deleteAfter,omitempty"`
	Takedown         string     `json:"takedown,omitempty"` // its reference
	InvitesDisabled  bool       `json:"invitesDisabled,omitempty"`
	InviteNote       string     `json:"inviteNote,omitempty"`
	InviteCode       string     `json:"inviteCode,omitempty"` // it signed up with
}

// Status is active, takendown or deactivated.
func (i *Info) Status() string {
	switch {
	case i.Takedown != "":
		return "takendown"
	case i.DeactivatedAt != nil:
		return "deactivated"
	}
	return "active"
}

// MaxInfos bounds one look-up.
const MaxInfos = 500

// Infos looks accounts up; those that are not here are left out.
func Infos(ctx context.Context, q *tenantdb.Queries, dids []string) ([]Info, error) {
	rows, err := q.ListAccountInfos(ctx, tenantdb.ListAccountInfosParams{Dids: dids, MaxRows: MaxInfos})
	if err != nil {
		return nil, fmt.Errorf("look accounts up: %w", err)
	}
	out := make([]Info, len(rows))
	for i, r := range rows {
		out[i] = infoOf(tenantdb.ListAccountsRow(r))
	}
	return out, nil
}

// Search lists accounts behind after (an AID), oldest first, whose address contains a text in lower case; also looks
// into handles and compares DIDs too. An empty text lists all.
func Search(ctx context.Context, q *tenantdb.Queries, contains string, also bool, after int64, limit int) ([]Info, error) {
	rows, err := q.ListAccounts(ctx, tenantdb.ListAccountsParams{AfterAID: after, Contains: contains, Also: also, MaxRows: int32(limit)})
	if err != nil {
		return nil, fmt.Errorf("search accounts: %w", err)
	}
	out := make([]Info, len(rows))
	for i, r := range rows {
		out[i] = infoOf(r)
	}
	return out, nil
}

// States are what [Newest] selects by. Leaving is an account that is to be deleted at a date.
var States = []string{"active", "deactivated", "takendown", "leaving"}

// Newest lists accounts before one (an AID), newest first, that have a text in lower case in address or handle, or as their
// DID, and are in one of [States]. Empty texts select all.
func Newest(ctx context.Context, q *tenantdb.Queries, contains, state string, before int64, limit int) ([]Info, error) {
	rows, err := q.ListAccountsNewest(ctx, tenantdb.ListAccountsNewestParams{BeforeAID: before, Contains: contains, State: state, MaxRows: int32(limit)})
	if err != nil {
		return nil, fmt.Errorf("list accounts: %w", err)
	}
	out := make([]Info, len(rows))
	for i, r := range rows {
		out[i] = infoOf(tenantdb.ListAccountsRow(r))
	}
	return out, nil
}

// Sessions are how many ways in to an account are open.
type Sessions struct {
	Tokens   int64 // of apps that signed in with a password
	Apps     int64 // that were let in on a page
	Browsers int64
}

// CountSessions counts them. Errors: [ErrNotFound].
func CountSessions(ctx context.Context, q *tenantdb.Queries, now time.Time, aid int64) (Sessions, error) {
	row, err := q.CountSessionsOf(ctx, tenantdb.CountSessionsOfParams{AID: aid, Now: now})
	if db.IsNoRows(err) {
		return Sessions{}, ErrNotFound
	}
	if err != nil {
		return Sessions{}, fmt.Errorf("count sessions of actor %d: %w", aid, err)
	}
	return Sessions{row.Tokens, row.Apps, row.Browsers}, nil
}

func infoOf(r tenantdb.ListAccountsRow) Info {
	return Info{
		AID: r.AID, DID: r.DID, Handle: text(r.Handle), Email: text(r.Email), EmailConfirmedAt: r.EmailConfirmedAt,
		CreatedAt: r.CreatedAt, DeactivatedAt: r.DeactivatedAt, DeleteAfter: r.DeleteAfter, Takedown: text(r.TakedownRef),
		InvitesDisabled: r.InvitesDisabled, InviteNote: r.InviteNote, InviteCode: text(r.InviteCode),
	}
}

// SetEmail gives an account another address, not confirmed; tokens that were mailed to the old one are dead. Errors:
// [ErrEmailTaken] in a [TakenError].
func SetEmail(ctx context.Context, q *tenantdb.Queries, aid int64, email string) error {
	err := q.UpdateAccountEmail(ctx, tenantdb.UpdateAccountEmailParams{AID: aid, Email: email})
	if constraint, _ := db.IsUnique(err); constraint == "account_email_key" {
		return &TakenError{ErrEmailTaken, email}
	}
	if err == nil {
		err = q.DeleteEmailTokensOf(ctx, aid)
	}
	if err != nil {
		return fmt.Errorf("set email of actor %d: %w", aid, err)
	}
	return nil
}

// SetPassword replaces the main password by its hash and ends all sessions, those of app passwords too: whoever sets a
// password anew may do so because somebody else knows the old one. A mailed token for a reset ends with it. It gives
// the account's DID: the caller has the cache forget it. Errors: [ErrNotFound].
func SetPassword(ctx context.Context, q *tenantdb.Queries, aid int64, hash string) (did string, err error) {
	if did, err = EndSessions(ctx, q, aid); err != nil {
		return "", err
	}
	_, err = q.UpdateAccountPassword(ctx, tenantdb.UpdateAccountPasswordParams{AID: aid, PasswordHash: hash})
	if err == nil {
		err = q.DeleteEmailTokenOf(ctx, tenantdb.DeleteEmailTokenOfParams{AID: aid, Purpose: string(TokenResetPassword)})
	}
	if err == nil {
		_, err = q.DeleteTrustedBrowsersOf(ctx, aid)
	}
	if err != nil {
		return "", fmt.Errorf("set password of actor %d: %w", aid, err)
	}
	return did, nil
}

// RemovePassword takes the main password from an account, and ends the sessions of apps that began with it. Errors: [ErrNotFound].
func RemovePassword(ctx context.Context, q *tenantdb.Queries, aid int64) (did string, err error) {
	if did, err = EndMainSessions(ctx, q, aid); err != nil {
		return "", err
	}
	if _, err = q.UpdateAccountPasswordGone(ctx, aid); err == nil {
		err = q.DeleteEmailTokenOf(ctx, tenantdb.DeleteEmailTokenOfParams{AID: aid, Purpose: string(TokenResetPassword)})
	}
	if err != nil {
		return "", fmt.Errorf("remove password of actor %d: %w", aid, err)
	}
	return did, nil
}

// SetOAuthOnly says whether the main password begins sessions of apps; those that it began end when it does not.
// changed: it was not so before. Errors: [ErrNotFound].
func SetOAuthOnly(ctx context.Context, q *tenantdb.Queries, aid int64, on bool) (changed bool, err error) {
	if on {
		if _, err = EndMainSessions(ctx, q, aid); err != nil {
			return false, err
		}
	}
	n, err := q.UpdateAccountOAuthOnly(ctx, tenantdb.UpdateAccountOAuthOnlyParams{AID: aid, OauthOnly: on})
	if err != nil {
		return false, fmt.Errorf("sign-ins of actor %d: %w", aid, err)
	}
	return n == 1, nil
}

// EndMainSessions ends the sessions of apps that began with the main password. Those of app passwords get new access
// tokens at their next refresh; browsers stay signed in, and apps that were let in on a page go on. Errors: [ErrNotFound].
func EndMainSessions(ctx context.Context, q *tenantdb.Queries, aid int64) (did string, err error) {
	did, err = q.UpdateActorSessionsEnded(ctx, aid)
	if db.IsNoRows(err) {
		return "", ErrNotFound
	}
	if err == nil {
		_, err = q.DeleteMainRefreshTokens(ctx, aid)
	}
	if err == nil {
		err = q.UpdateDeviceAccountsKept(ctx, aid)
	}
	if err == nil {
		err = q.UpdateOAuthSessionsKept(ctx, aid)
	}
	if err != nil {
		return "", fmt.Errorf("end sessions of actor %d: %w", aid, err)
	}
	return did, nil
}

// EndSessions ends all sessions of an account: refresh tokens are gone, access tokens dead as soon as the account is
// looked at again. The actor's row comes first: a session that is being made or prolonged at this moment (auth.Hold)
// is either seen here and ended, or sees this and does not come about. Errors: [ErrNotFound].
func EndSessions(ctx context.Context, q *tenantdb.Queries, aid int64) (did string, err error) {
	did, err = q.UpdateActorSessionsEnded(ctx, aid)
	if db.IsNoRows(err) {
		return "", ErrNotFound
	}
	if err == nil {
		_, err = q.DeleteRefreshTokens(ctx, aid)
	}
	if err == nil {
		err = endApps(ctx, q, aid)
	}
	if err != nil {
		return "", fmt.Errorf("end sessions of actor %d: %w", aid, err)
	}
	return did, nil
}

// endApps ends what OAuth clients have of an account: their sessions, and the codes that are on their way. The actor's row
// is held.
func endApps(ctx context.Context, q *tenantdb.Queries, aid int64) error {
	if _, err := q.DeleteOAuthSessionsOf(ctx, aid); err != nil {
		return fmt.Errorf("end OAuth sessions of actor %d: %w", aid, err)
	}
	if err := q.DeleteOAuthRequestsOf(ctx, aid); err != nil {
		return fmt.Errorf("delete OAuth codes of actor %d: %w", aid, err)
	}
	return nil
}
