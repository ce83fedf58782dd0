package account

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/auroralocus/locus/internal/fair"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/keyring"
)

var (
	// ErrAppPasswordName: the name must have 1 to 256 characters, none of them a control character.
	ErrAppPasswordName = errors.New("app password name must have 1 to 256 characters")
	// ErrAppPasswordTaken: there is an app password of this name already.
	ErrAppPasswordTaken = errors.New("app password name is taken")
	// ErrAppPasswords: there are as many as there may be.
	ErrAppPasswords = errors.New("too many app passwords")
	// ErrAppPasswordExpiry: it would end before it begins.
	ErrAppPasswordExpiry = errors.New("app password would have expired already")
)

const (
	// maxAppPasswords bounds those of one account.
	maxAppPasswords = 200
	// accessMayLive is longer than an access token lives; a password's last use is when its newest one was made.
	accessMayLive = 3 * time.Hour
)

// AppPassword is a password for one app, without the password.
type AppPassword struct {
	Name       string
	Privileged bool // also opens what is private: messages, moving the account
	CreatedAt  time.Time
	ExpiresAt  *time.Time // nil: never
	LastUsedAt *time.Time // nil: never
}

// NewAppPassword draws a password: xxxx-xxxx-xxxx-xxxx, 80 random bits. Draw it before the transaction.
func NewAppPassword() string {
	s := base32Lower.EncodeToString(random(10))
	return s[:4] + "-" + s[4:8] + "-" + s[8:12] + "-" + s[12:]
}

var appPasswordForm = regexp.MustCompile(`^[a-z2-7]{4}-[a-z2-7]{4}-[a-z2-7]{4}-[a-z2-7]{4}$`)

// appPasswordMAC is what is stored. A slow hash protects what people choose; 80 random bits need none, and a keyed one
// that names the account finds the row at once and is nothing without the master key.
func appPasswordMAC(mac *keyring.MAC, aid int64, password string) []byte {
	return mac.Sign([]byte("app_password\x00" + strconv.FormatInt(aid, 10) + "\x00" + password))
}

// InsertAppPassword stores a password drawn by [NewAppPassword], inside the caller's transaction, in place of an expired
// one of its name. mac is the tenant's
// credential secret. Errors: [ErrAppPasswordName], [ErrAppPasswordTaken], [ErrAppPasswords], [ErrAppPasswordExpiry],
// [ErrNotFound].
func InsertAppPassword(ctx context.Context, q *tenantdb.Queries, mac *keyring.MAC, aid int64, p AppPassword, password string) error {
	if n := utf8.RuneCountInString(p.Name); n == 0 || n > 256 || !isText(p.Name) || strings.ContainsFunc(p.Name, unicode.IsControl) {
		return ErrAppPasswordName
	}
	if p.ExpiresAt != nil && !p.ExpiresAt.After(p.CreatedAt) {
		return ErrAppPasswordExpiry
	}
	// The lock makes callers follow each other. So the account's app passwords are counted right, and a deleted account
	// gets none.
	if _, err := q.LockActor(ctx, aid); db.IsNoRows(err) {
		return ErrNotFound
	} else if err != nil {
		return fmt.Errorf("lock actor %d: %w", aid, err)
	}
	expired, err := q.DeleteExpiredAppPasswords(ctx, tenantdb.DeleteExpiredAppPasswordsParams{AID: aid, Name: p.Name, Now: p.CreatedAt, MaxRows: maxAppPasswords})
	if err != nil {
		return fmt.Errorf("delete expired app passwords: %w", err)
	}
	for _, name := range expired { // sessions know their app password by its name
		if err := q.DeleteAppPasswordSessions(ctx, tenantdb.DeleteAppPasswordSessionsParams{AID: aid, Name: name}); err != nil {
			return fmt.Errorf("end sessions of an expired app password: %w", err)
		}
	}
	n, err := q.InsertAppPassword(ctx, tenantdb.InsertAppPasswordParams{
		AID: aid, Name: p.Name, PasswordMac: appPasswordMAC(mac, aid, password), Privileged: p.Privileged,
		CreatedAt: p.CreatedAt, ExpiresAt: p.ExpiresAt, MaxRows: maxAppPasswords,
	})
	if constraint, _ := db.IsUnique(err); constraint == "account_item_pkey" {
		return ErrAppPasswordTaken
	}
	if err != nil {
		return fmt.Errorf("insert app password: %w", err)
	}
	if n == 0 {
		return ErrAppPasswords
	}
	return nil
}

// ListAppPasswords lists an account's, the newest first.
func ListAppPasswords(ctx context.Context, q *tenantdb.Queries, aid int64) ([]AppPassword, error) {
	rows, err := q.ListAppPasswords(ctx, tenantdb.ListAppPasswordsParams{AID: aid, MaxRows: maxAppPasswords})
	if err != nil {
		return nil, fmt.Errorf("list app passwords: %w", err)
	}
	out := make([]AppPassword, len(rows))
	for i, r := range rows {
		out[i] = AppPassword{Name: r.Name, Privileged: r.Privileged, CreatedAt: r.CreatedAt, ExpiresAt: r.ExpiresAt, LastUsedAt: r.LastUsedAt}
	}
	return out, nil
}

// RevokeAppPassword deletes an app password and ends its sessions, inside the caller's transaction. An access token
// does not say which app password it came from. So if one of this password may still be valid, the access tokens of all
// app passwords end. Other apps refresh, as they do every two hours anyway; this one cannot. was says whether there was
// one.
func RevokeAppPassword(ctx context.Context, q *tenantdb.Queries, now time.Time, aid int64, name string) (was bool, err error) {
	if !isText(name) {
		return false, nil
	}
	// First of all, as everywhere: sessions are made and prolonged under a lock of this row.
	if _, err := q.LockActor(ctx, aid); db.IsNoRows(err) {
		return false, nil
	} else if err != nil {
		return false, fmt.Errorf("lock actor %d: %w", aid, err)
	}
	used, err := q.DeleteAppPassword(ctx, tenantdb.DeleteAppPasswordParams{AID: aid, Name: name})
	if err != nil {
		return false, fmt.Errorf("delete app password: %w", err)
	}
	if len(used) > 0 && used[0] != nil && now.Sub(*used[0]) < accessMayLive {
		if err := q.UpdateActorAppsEnded(ctx, aid); err != nil {
			return false, fmt.Errorf("end sessions of app passwords of actor %d: %w", aid, err)
		}
	}
	if err := q.DeleteAppPasswordSessions(ctx, tenantdb.DeleteAppPasswordSessionsParams{AID: aid, Name: name}); err != nil {
		return false, fmt.Errorf("end sessions of app password: %w", err)
	}
	return len(used) > 0, nil
}

// SignIn is [Passwords.Authenticate] that also takes app passwords: app is nil for the main password. They do not open
// accounts that are taken down. [UseAppPassword] has the last word. Errors as of Authenticate.
func (p *Passwords) SignIn(ctx context.Context, from fair.Path, q *tenantdb.Queries, mac *keyring.MAC, identifier, password string) (a *Account, app *AppPassword, err error) {
	began := p.now()
	if appPasswordForm.MatchString(password) {
		a, err = ByIdentifier(ctx, q, identifier)
		// The query is also made for unknown and taken-down accounts, so that the number of queries tells nothing.
		owner := nobody
		if err == nil && !a.TakenDown {
			owner = a.AID
		}
		if err == nil || errors.Is(err, ErrNotFound) {
			app, err = findAppPassword(ctx, q, mac, p.now(), owner, password)
		}
		if err != nil && !errors.Is(err, ErrNotFound) {
			return nil, nil, err
		}
		if app != nil {
			return a, app, nil
		}
	}
	a, err = p.authenticateSince(ctx, from, q, began, identifier, password)
	return a, nil, err
}

// nobody is the number of no account.
const nobody = int64(0)

func findAppPassword(ctx context.Context, q *tenantdb.Queries, mac *keyring.MAC, now time.Time, aid int64, password string) (*AppPassword, error) {
	row, err := q.GetAppPasswordByMAC(ctx, tenantdb.GetAppPasswordByMACParams{AID: aid, PasswordMac: appPasswordMAC(mac, aid, password)})
	if db.IsNoRows(err) || err == nil && row.ExpiresAt != nil && !row.ExpiresAt.After(now) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("look for app password: %w", err)
	}
	return &AppPassword{Name: row.Name, Privileged: row.Privileged, ExpiresAt: row.ExpiresAt}, nil
}

// UseAppPassword notes that a session began with it, inside the transaction that stores the session: one that was
// revoked a moment ago opens nothing. Errors: [ErrCredentials].
func UseAppPassword(ctx context.Context, q *tenantdb.Queries, mac *keyring.MAC, now time.Time, aid int64, name, password string) error {
	n, err := q.UpdateAppPasswordUsed(ctx, tenantdb.UpdateAppPasswordUsedParams{AID: aid, Name: name, PasswordMac: appPasswordMAC(mac, aid, password), Now: now})
	if err != nil {
		return fmt.Errorf("use app password: %w", err)
	}
	if n == 0 {
		return ErrCredentials
	}
	return nil
}

// SeeAppPassword gives the app password that a session began with, as it is now, and notes that it is in use; inside
// the transaction that prolongs the session. Errors: [ErrNotFound]: it was revoked or has expired.
func SeeAppPassword(ctx context.Context, q *tenantdb.Queries, now time.Time, aid int64, name string) (AppPassword, error) {
	n, err := q.UpdateAppPasswordSeen(ctx, tenantdb.UpdateAppPasswordSeenParams{AID: aid, Name: name, Now: now})
	if err != nil {
		return AppPassword{}, fmt.Errorf("use app password: %w", err)
	}
	if n == 0 {
		return AppPassword{}, ErrNotFound
	}
	row, err := q.GetAppPassword(ctx, tenantdb.GetAppPasswordParams{AID: aid, Name: name})
	if err != nil {
		return AppPassword{}, fmt.Errorf("look for app password: %w", err)
	}
	return AppPassword{Name: row.Name, Privileged: row.Privileged, ExpiresAt: row.ExpiresAt}, nil
}
