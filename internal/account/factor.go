package account

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"crypto/subtle"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/keyring"
)

// TokenSignIn is the purpose of the code that is mailed at a sign-in, and before a change of second factors.
const TokenSignIn TokenPurpose = "sign_in"

var (
	// ErrFactorMailed: a sign-in needs the code that is mailed.
	ErrFactorMailed = errors.New("a mailed code is needed")
	// ErrFactorApp: a sign-in needs a code of the authenticator app, or a backup code.
	ErrFactorApp = errors.New("a code of the authenticator app is needed")
	// ErrFactorOld: a second factor is on, and none was shown for this token lately.
	ErrFactorOld = errors.New("a second factor must be shown again")
	// ErrEmailUnconfirmed: codes are mailed to confirmed addresses only.
	ErrEmailUnconfirmed = errors.New("the email address is not confirmed")
	// ErrAuthenticatorOn: one must be switched off before another is begun, which takes a code.
	ErrAuthenticatorOn = errors.New("an authenticator app is on: switch it off first")
	// ErrNoAuthenticator: none is on, or none was begun in time.
	ErrNoAuthenticator = errors.New("there is no such authenticator app")
)

// enrolTime is how long a new authenticator waits for its first code.
const enrolTime = 15 * time.Minute

// Factors are what an account asks for beside its main password. App passwords need none: apps cannot ask.
type Factors struct {
	Email  bool // mailed codes; only to a confirmed address
	App    bool // an authenticator app, and backup codes
	sealed []byte
	made   time.Time // of the authenticator, which it is known by
	begun  time.Time // the same of one that waits for its first code
}

// Any says whether a second factor is needed at all.
func (f Factors) Any() bool { return f.Email || f.App }

// Enrolling says whether an authenticator waits for its first code.
func (f Factors) Enrolling(now time.Time) bool {
	return !f.App && !f.begun.IsZero() && now.Sub(f.begun) < enrolTime
}

// SecondFactors looks up what an account asks for. Errors: [ErrNotFound].
func SecondFactors(ctx context.Context, q *tenantdb.Queries, aid int64) (Factors, error) {
	row, err := q.GetSecondFactors(ctx, aid)
	if db.IsNoRows(err) {
		return Factors{}, ErrNotFound
	}
	if err != nil {
		return Factors{}, fmt.Errorf("second factors of actor %d: %w", aid, err)
	}
	f := Factors{Email: row.EmailFactor && row.EmailConfirmedAt != nil, App: row.ConfirmedAt != nil, sealed: row.Sealed}
	if row.BegunAt != nil {
		f.made = *row.BegunAt
	}
	if !f.App {
		f.begun = f.made
	}
	return f, nil
}

// SetEmailFactor switches mailed codes on or off. Errors: [ErrEmailUnconfirmed].
func SetEmailFactor(ctx context.Context, q *tenantdb.Queries, a *Account, on bool) error {
	if on && !a.EmailConfirmed {
		return ErrEmailUnconfirmed
	}
	if _, err := q.UpdateAccountEmailFactor(ctx, tenantdb.UpdateAccountEmailFactorParams{AID: a.AID, EmailFactor: on}); err != nil {
		return fmt.Errorf("second factor of actor %d: %w", a.AID, err)
	}
	return nil
}

// UseFactor checks a code of any of the account's factors and uses it up, inside the caller's transaction. Errors:
// [ErrTokenInvalid], [ErrTokenExpired].
func UseFactor(ctx context.Context, q *tenantdb.Queries, keys *keyring.Keyring, mac *keyring.MAC, schema db.Schema, now time.Time, aid int64, f Factors, code string) error {
	code = strings.ToUpper(strings.TrimSpace(code))
	if f.App && IsAppCode(code) {
		secret, err := keys.Open(totpBinding(schema, aid), f.sealed)
		if err != nil {
			return fmt.Errorf("authenticator of actor %d: %w", aid, err)
		}
		step, ok := MatchTOTP(secret, now, code)
		if !ok {
			return ErrTokenInvalid
		}
		n, err := q.UpdateTOTPUsed(ctx, tenantdb.UpdateTOTPUsedParams{AID: aid, CreatedAt: f.made, Step: step})
		if err != nil {
			return fmt.Errorf("authenticator of actor %d: %w", aid, err)
		}
		if n == 0 {
			return ErrTokenInvalid // used already
		}
		return nil
	}
	if f.App {
		n, err := q.DeleteBackupCode(ctx, tenantdb.DeleteBackupCodeParams{AID: aid, CodeMac: backupMAC(mac, aid, code)})
		if err != nil {
			return fmt.Errorf("backup code of actor %d: %w", aid, err)
		}
		if n == 1 {
			return nil
		}
	}
	if f.Email {
		return UseToken(ctx, q, mac, now, aid, TokenSignIn, code)
	}
	return ErrTokenInvalid
}

// IsAppCode says whether a code has the form of an authenticator app's. All others are longer.
func IsAppCode(code string) bool {
	code = strings.TrimSpace(code)
	return len(code) == totpDigits && strings.Trim(code, "0123456789") == ""
}

// Authenticator is a new authenticator app, to be shown once.
type Authenticator struct {
	Secret string // base32, for typing
	URI    string // otpauth://, for a QR code
	secret []byte
}

// Key is the secret as it is sealed.
func (a Authenticator) Key() []byte { return a.secret }

// NewAuthenticator draws an authenticator's secret. issuer and account are what the app shows.
func NewAuthenticator(issuer, account string) Authenticator {
	secret := make([]byte, 20)
	_, _ = rand.Read(secret) // never fails: the runtime ends the process instead
	return AuthenticatorOf(issuer, account, secret)
}

// AuthenticatorOf is the authenticator with a secret that was drawn before.
func AuthenticatorOf(issuer, account string, secret []byte) Authenticator {
	a := Authenticator{secret: secret}
	a.Secret = base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(a.secret)
	v := url.Values{"secret": {a.Secret}, "issuer": {issuer}}
	a.URI = "otpauth://totp/" + url.PathEscape(issuer+":"+account) + "?" + v.Encode()
	return a
}

// InsertAuthenticator stores an authenticator in place of an earlier one that was not confirmed. It counts once
// [ConfirmAuthenticator] has seen a code of it. Errors: [ErrAuthenticatorOn].
func InsertAuthenticator(ctx context.Context, q *tenantdb.Queries, keys *keyring.Keyring, schema db.Schema, now time.Time, aid int64, a Authenticator) error {
	sealed, err := keys.Seal(totpBinding(schema, aid), a.secret)
	if err != nil {
		return fmt.Errorf("seal authenticator: %w", err)
	}
	n, err := q.UpsertTOTP(ctx, tenantdb.UpsertTOTPParams{AID: aid, Sealed: sealed, CreatedAt: now})
	if err != nil {
		return fmt.Errorf("store authenticator of actor %d: %w", aid, err)
	}
	if n == 0 {
		return ErrAuthenticatorOn
	}
	return nil
}

// ConfirmAuthenticator switches a stored authenticator on, by a code of it, which is used up by that. Errors:
// [ErrNoAuthenticator], [ErrTokenInvalid].
func ConfirmAuthenticator(ctx context.Context, q *tenantdb.Queries, keys *keyring.Keyring, schema db.Schema, now time.Time, aid int64, code string) error {
	row, err := q.GetTOTP(ctx, aid)
	if db.IsNoRows(err) || err == nil && (row.ConfirmedAt != nil || now.Sub(row.CreatedAt) >= enrolTime) {
		return ErrNoAuthenticator
	}
	if err != nil {
		return fmt.Errorf("authenticator of actor %d: %w", aid, err)
	}
	secret, err := keys.Open(totpBinding(schema, aid), row.Sealed)
	if err != nil {
		return fmt.Errorf("authenticator of actor %d: %w", aid, err)
	}
	step, ok := MatchTOTP(secret, now, strings.TrimSpace(code))
	if !ok {
		return ErrTokenInvalid
	}
	n, err := q.UpdateTOTPConfirmed(ctx, tenantdb.UpdateTOTPConfirmedParams{AID: aid, CreatedAt: row.CreatedAt, Now: now, Step: step})
	if err != nil {
		return fmt.Errorf("confirm authenticator of actor %d: %w", aid, err)
	}
	if n == 0 {
		return ErrTokenInvalid
	}
	return nil
}

// backupCodes is how many there are.
const backupCodes = 10

// ReplaceBackupCodes draws an account's backup codes anew; earlier ones are dead.
func ReplaceBackupCodes(ctx context.Context, q *tenantdb.Queries, mac *keyring.MAC, aid int64) ([]string, error) {
	codes, macs := make([]string, backupCodes), make([][]byte, backupCodes)
	for i := range codes {
		codes[i] = NewToken()
		macs[i] = backupMAC(mac, aid, codes[i])
	}
	err := q.DeleteBackupCodesOf(ctx, aid)
	if err == nil {
		err = q.InsertBackupCodes(ctx, tenantdb.InsertBackupCodesParams{AID: aid, Macs: macs})
	}
	if err != nil {
		return nil, fmt.Errorf("backup codes of actor %d: %w", aid, err)
	}
	return codes, nil
}

// DeleteAuthenticator removes an account's authenticator, confirmed or not, and its backup codes. Errors:
// [ErrNoAuthenticator].
func DeleteAuthenticator(ctx context.Context, q *tenantdb.Queries, aid int64) error {
	n, err := q.DeleteTOTPIfAny(ctx, aid)
	if err == nil {
		err = q.DeleteBackupCodesOf(ctx, aid)
	}
	if err != nil {
		return fmt.Errorf("delete authenticator of actor %d: %w", aid, err)
	}
	if n == 0 {
		return ErrNoAuthenticator
	}
	return nil
}

func totpBinding(schema db.Schema, aid int64) keyring.Binding {
	return keyring.Binding{Schema: schema.String(), Owner: strconv.FormatInt(aid, 10), Purpose: "totp"}
}

// backupMAC is what is stored of a backup code: keyed, and bound to the account.
func backupMAC(mac *keyring.MAC, aid int64, code string) []byte {
	return mac.Sign([]byte("backup_code\x00" + strconv.FormatInt(aid, 10) + "\x00" + normalToken(code)))
}

// spec: RFC 6238 (with the parameters that all authenticator apps take)
const (
	totpDigits = 6
	totpStep   = 30
	totpSkew   = 1 // steps before and after
)

// MatchTOTP finds the step whose code this is. It looks at all steps in any case, so its time says nothing.
func MatchTOTP(secret []byte, now time.Time, code string) (step int64, ok bool) {
	at := now.Unix() / totpStep
	for s := at - totpSkew; s <= at+totpSkew; s++ {
		if subtle.ConstantTimeCompare([]byte(totp(secret, s, totpDigits)), []byte(code)) == 1 {
			step, ok = s, true
		}
	}
	return step, ok
}

// TOTP is the code that an app with a secret shows at a time.
func TOTP(secret []byte, at time.Time) string { return totp(secret, at.Unix()/totpStep, totpDigits) }

// totp is the code of one step.
// spec: RFC 4226 section 5.3
func totp(secret []byte, step int64, digits int) string {
	h := hmac.New(sha1.New, secret)
	_ = binary.Write(h, binary.BigEndian, step) // a hash takes everything
	sum := h.Sum(nil)
	at := sum[len(sum)-1] & 15
	n := binary.BigEndian.Uint32(sum[at:]) & 0x7fffffff
	text := fmt.Sprintf("%010d", n)
	return text[len(text)-digits:]
}
