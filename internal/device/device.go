// Package device knows the browsers that people have signed in with, and who is signed in there.
//
// A browser keeps two secrets in cookies: a device id, which stays, and a session id, which changes every few minutes and
// at each step that matters. Only their hashes are stored. Whoever comes with a device id and a session id that is not its
// own any more has a copy: the device is forgotten, and everybody signs in there anew. A browser that nobody signed in
// with has no row, so somebody who only looks at pages leaves nothing behind.
package device

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/tenant"
)

const (
	// RotateAfter is how old a session id gets.
	RotateAfter = 5 * time.Minute
	// FormerGrace is how long the one before is good: for requests that were on their way.
	FormerGrace = 5 * time.Second
	// Life is how long a device is known after it was last seen.
	Life = 180 * 24 * time.Hour
	// Unremembered is how long a sign-in lasts that is not to be remembered.
	Unremembered = 15 * time.Minute
	// ProofLife is how long somebody who proved to be the owner need not do it again.
	ProofLife = auth.ProvenLife
	// MaxAccounts is how many accounts may be signed in on one device, MaxDevices how many sign-ins an account has: the
	// oldest one makes room.
	MaxAccounts = 10
	MaxDevices  = 50

	maxAgent = 300 // bytes of a User-Agent that are kept
)

var (
	// ErrUnknown: no such device, or nobody is signed in there any more.
	ErrUnknown = errors.New("no such device")
	// ErrAccounts: so many accounts are signed in on the device that there is no room for another.
	ErrAccounts = errors.New("too many accounts are signed in on this device")
)

// Presented is what a browser sends in its cookies. The zero value is a browser that sends none.
type Presented struct{ ID, Session string }

// Seen is what a request tells of its browser.
type Seen struct{ Agent, Address string }

func (s Seen) bounded() Seen {
	if len(s.Agent) > maxAgent {
		s.Agent = s.Agent[:maxAgent]
	}
	s.Agent = string(bytes.ToValidUTF8(bytes.ReplaceAll([]byte(s.Agent), []byte{0}, nil), nil))
	return s
}

// Device is a known browser.
type Device struct {
	Key       []byte // SHA-256 of its id
	Seen             // when the session id changed last
	SeenAt    time.Time
	CreatedAt time.Time
	// Keep is what the browser is to keep from now on; nil: what it has.
	Keep *Presented

	session, former []byte
}

// Name says which device is meant, to its owner. It opens nothing.
func (d *Device) Name() string { return Name(d.Key) }

// Name of a device with that key.
func Name(key []byte) string { return base64.RawURLEncoding.EncodeToString(key) }

// SignedIn is an account that is signed in on a device.
type SignedIn struct {
	auth.Account        // with the main password's scope
	Email        string // "": none
	Request      string // the one authorization request that it is for; "": any
	Remembered   bool
	At           time.Time // when it signed in
	Proven       time.Time // when its owner last proved to be it
	Expires      time.Time
}

// ProvenLately says whether the owner proved to be it so lately that it need not be asked again.
func (s *SignedIn) ProvenLately(now time.Time) bool { return now.Sub(s.Proven) < ProofLife }

// Key is what a device id is stored as.
func Key(id string) []byte { return hash(id) }

func hash(secret string) []byte {
	sum := sha256.Sum256([]byte(secret))
	return sum[:]
}

// NewSecret is a fresh device id or session id.
func NewSecret() string {
	var b [24]byte
	_, _ = rand.Read(b[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// IsSecret says whether text may be a device id or a session id.
func IsSecret(text string) bool {
	if len(text) != 32 {
		return false
	}
	_, err := base64.RawURLEncoding.DecodeString(text)
	return err == nil
}

// verdict is what a session id means to a device.
type verdict int

const (
	good   verdict = iota
	recent         // the former one, a moment after it changed
	stolen         // of a copy
)

func (d *Device) judge(session string, now time.Time) verdict {
	h := hash(session)
	switch {
	case bytes.Equal(h, d.session):
		return good
	case bytes.Equal(h, d.former) && now.Sub(d.SeenAt) <= FormerGrace:
		return recent
	}
	return stolen
}

// stale says whether the session id has to change.
func (d *Device) stale(seen Seen, now time.Time) bool {
	return now.Sub(d.SeenAt) >= RotateAfter || d.Seen != seen.bounded()
}

// Look is a device and who is signed in there, as they are.
type Look struct {
	Device   *Device // nil: not a known one
	Accounts []SignedIn
	// Rotate says that the session id has to change, Forget that the device has to be forgotten: acts do both.
	Rotate, Forget bool
}

// See finds the device that a browser claims to be. It changes nothing.
func See(ctx context.Context, q *tenantdb.Queries, p Presented, seen Seen, now time.Time) (Look, error) {
	if !IsSecret(p.ID) {
		return Look{}, nil
	}
	row, err := q.GetDevice(ctx, tenantdb.GetDeviceParams{ID: hash(p.ID), Now: now})
	if db.IsNoRows(err) {
		return Look{}, nil
	}
	if err != nil {
		return Look{}, fmt.Errorf("look for device: %w", err)
	}
	d := of(row)
	v := d.judge(p.Session, now)
	if v == stolen {
		return Look{Device: d, Forget: true}, nil
	}
	accounts, err := Accounts(ctx, q, d.Key, now)
	if err != nil {
		return Look{}, err
	}
	return Look{Device: d, Accounts: accounts, Rotate: v == good && d.stale(seen, now)}, nil
}

func of(r tenantdb.GetDeviceRow) *Device {
	return &Device{Key: r.ID, Seen: Seen{r.Agent, r.Address}, SeenAt: r.RotatedAt, CreatedAt: r.CreatedAt, session: r.Session, former: r.Former}
}

// Accounts lists who is signed in on a device, the latest first.
func Accounts(ctx context.Context, q *tenantdb.Queries, key []byte, now time.Time) ([]SignedIn, error) {
	rows, err := q.ListDeviceAccounts(ctx, tenantdb.ListDeviceAccountsParams{Device: key, Now: now, MaxRows: 4 * MaxAccounts})
	if err != nil {
		return nil, fmt.Errorf("list accounts of device: %w", err)
	}
	out := make([]SignedIn, 0, len(rows))
	for _, r := range rows {
		a := auth.Account{AID: r.AID, DID: r.DID, Handle: text(r.Handle), Scope: auth.ScopeAccess, TakenDown: r.TakedownRef != nil, Deactivated: r.DeactivatedAt != nil}
		if a.TakenDown {
			a.Scope = auth.ScopeTakendown
		}
		out = append(out, SignedIn{
			Account: a.Proving(r.ProvenAt), Email: text(r.Email), Request: r.Request, Remembered: r.Remembered,
			At: r.SignedInAt, Proven: r.ProvenAt, Expires: r.ExpiresAt,
		})
	}
	return out, nil
}

func text(p *string) string {
	if p == nil {
		return ""
	}
	return *p
}

// Stay is how long a sign-in is to last.
type Stay struct {
	// Remember keeps it for as long as the tenant says, for whatever is asked for in that time.
	Remember bool
	// Request is the authorization request that a sign-in is for which is not remembered; "": for the account's own pages,
	// while they are used.
	Request string
	// TakenDown lets in an account that is taken down: to its own pages, which say why, and how to appeal and to leave.
	TakenDown bool
}

func (s Stay) until(t *tenant.Tenant, now time.Time) time.Time {
	if s.Remember {
		return now.Add(time.Duration(t.Settings.DeviceRememberDays) * 24 * time.Hour)
	}
	return now.Add(Unremembered)
}

// request is what the row has: who is remembered is so for every request.
func (s Stay) request() string {
	if s.Remember {
		return ""
	}
	return s.Request
}
