package account

import (
	"bytes"
	"context"
	"encoding/base32"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/keyring"
)

// TokenPurpose is what a mailed token allows. One purpose's token is nothing to another.
type TokenPurpose string

// The purposes, as stored.
const (
	TokenConfirmEmail  TokenPurpose = "confirm_email"
	TokenUpdateEmail   TokenPurpose = "update_email"
	TokenResetPassword TokenPurpose = "reset_password"
	TokenDeleteAccount TokenPurpose = "delete_account"
	TokenPLCOperation  TokenPurpose = "plc_operation"
)

// TokenLife is how long a mailed token is good for.
const TokenLife = 15 * time.Minute

var (
	// ErrTokenInvalid: unknown, used, of another purpose or account.
	ErrTokenInvalid = errors.New("token is invalid")
	// ErrTokenExpired: its time is over.
	ErrTokenExpired = errors.New("token is expired")
	// ErrNoEmail: the account has no address.
	ErrNoEmail = errors.New("account does not have an email address")
)

var base32Upper = base32.StdEncoding.WithPadding(base32.NoPadding)

// NewToken draws a code: XXXXX-XXXXX, 50 random bits. Draw it before the transaction, whose body may run twice.
func NewToken() string {
	return readable(random(7))
}

// tokenMAC is what is stored of a token. It is keyed, so the rows alone let nobody try the 50 bits out; it names no
// account, because resetPassword is given nothing but the token.
func tokenMAC(mac *keyring.MAC, purpose TokenPurpose, token string) []byte {
	return mac.Sign([]byte("email_token\x00" + string(purpose) + "\x00" + normalToken(token)))
}

// normalToken is the one form of a token that a person has typed: in any case, with the dash or without, with blanks
// from copying, and with the digits that base32 leaves out because they look like letters.
func normalToken(typed string) string {
	s := strings.Map(func(r rune) rune {
		switch {
		case r == '-' || unicode.IsSpace(r):
			return -1
		case r == '0':
			return 'O'
		case r == '1':
			return 'I'
		case r == '8':
			return 'B'
		}
		return r
	}, strings.ToUpper(typed))
	if len(s) == 10 {
		return s[:5] + "-" + s[5:]
	}
	return s
}

// tokenAge is how long one token may be mailed again, each time with its whole life before it.
const tokenAge = 24 * time.Hour

// IssueToken gives the token that is to be mailed to an account's address. One that was issued and is still good is given
// again, and its time begins anew: who asks once more, or for somebody else, does not kill what is in the owner's hands.
// mac is the tenant's credential secret. Errors: [ErrEmailOther]: the address was changed meanwhile, and what goes to the
// old one must allow nothing.
func IssueToken(ctx context.Context, q *tenantdb.Queries, mac *keyring.MAC, now time.Time, a *Account, purpose TokenPurpose) (string, error) {
	now = now.UTC().Truncate(time.Microsecond) // as the database keeps it
	fresh := tokenOf(mac, a, purpose, now)
	arg := tenantdb.UpsertEmailTokenParams{
		AID: a.AID, Email: a.Email, Purpose: string(purpose), TokenMac: tokenMAC(mac, purpose, fresh), CreatedAt: now,
		ExpiresAt: now.Add(TokenLife), KeepFrom: now.Add(-tokenAge),
	}
	for {
		row, err := q.UpsertEmailToken(ctx, arg)
		if db.IsNoRows(err) {
			return "", ErrEmailOther
		}
		if err != nil {
			return "", fmt.Errorf("store %s token: %w", purpose, err)
		}
		token := tokenOf(mac, a, purpose, row.CreatedAt)
		if bytes.Equal(tokenMAC(mac, purpose, token), row.TokenMac) {
			return token, nil
		}
		arg.KeepFrom = now.Add(time.Second) // a version before this one drew it: nobody can say it again
	}
}

// ReviveToken makes the token good again that was mailed last, without mailing it: its owner asks, and has been written to
// often enough. Otherwise a stranger who uses the mails up could keep the owner from getting any.
func ReviveToken(ctx context.Context, q *tenantdb.Queries, now time.Time, aid int64, purpose TokenPurpose) error {
	err := q.UpdateEmailTokenRevived(ctx, tenantdb.UpdateEmailTokenRevivedParams{
		AID: aid, Purpose: string(purpose), ExpiresAt: now.Add(TokenLife), KeepFrom: now.Add(-tokenAge),
	})
	if err != nil {
		return fmt.Errorf("revive %s token: %w", purpose, err)
	}
	return nil
}

// tokenOf is the token that an account's owner is mailed for a purpose: XXXXX-XXXXX, 50 bits that nobody without the
// tenant's secret can tell. The same account, purpose, address and moment give the same token, so that it can be mailed
// again although only its MAC is stored.
func tokenOf(mac *keyring.MAC, a *Account, purpose TokenPurpose, issued time.Time) string {
	sum := mac.Sign(fmt.Appendf(nil, "email_token_text\x00%s\x00%d\x00%s\x00%d", purpose, a.AID, a.Email, issued.UnixMicro()))
	return readable(sum)
}

func readable(b []byte) string {
	s := base32Upper.EncodeToString(b[:7])
	return s[:5] + "-" + s[5:10]
}

// TokenOwner says whose token it is, without using it: a cheap look before something costly. Errors: [ErrTokenInvalid],
// [ErrTokenExpired].
func TokenOwner(ctx context.Context, q *tenantdb.Queries, mac *keyring.MAC, now time.Time, purpose TokenPurpose, token string) (aid int64, err error) {
	row, err := q.GetEmailToken(ctx, tokenMAC(mac, purpose, token))
	switch {
	case db.IsNoRows(err):
		return 0, ErrTokenInvalid
	case err != nil:
		return 0, fmt.Errorf("look for %s token: %w", purpose, err)
	case row.Purpose != string(purpose):
		return 0, ErrTokenInvalid
	case !row.ExpiresAt.After(now):
		return 0, ErrTokenExpired
	}
	return row.AID, nil
}

// UseToken uses an account's token up, inside the transaction of what it allows. Errors as of [TokenOwner].
func UseToken(ctx context.Context, q *tenantdb.Queries, mac *keyring.MAC, now time.Time, aid int64, purpose TokenPurpose, token string) error {
	owner, err := TokenOwner(ctx, q, mac, now, purpose, token)
	if err != nil {
		return err
	}
	if owner != aid {
		return ErrTokenInvalid // and stays good for its owner
	}
	_, err = q.DeleteEmailToken(ctx, tokenMAC(mac, purpose, token))
	if db.IsNoRows(err) {
		return ErrTokenInvalid // another request was first
	}
	if err != nil {
		return fmt.Errorf("use %s token: %w", purpose, err)
	}
	return nil
}
