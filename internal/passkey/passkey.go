// Package passkey is signing in with WebAuthn credentials: what a browser is asked, whether its answer is good, and the
// rows of an account's keys.
//
// The relying party is a tenant's host, so a key of one tenant is nothing at another. Keys are discoverable: the user
// handle names the account, and nobody types who they are. User verification is always asked for, which makes a passkey
// two factors in one.
//
// Asking stores nothing. A challenge proves by itself that it was drawn here, for what, for which browser and until when.
// Only an answer that is good leaves a row, so that its challenge is answered once.
//
// spec: WebAuthn section 7
package passkey

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
)

// Errors of this package.
var (
	// ErrRefused: the answer is no good one, or not to a question of ours. The log is told why.
	ErrRefused = errors.New("the passkey's answer is not good")
	// ErrExpired: it came too late, or was given before: ask again.
	ErrExpired = errors.New("the passkey was asked too long ago, or has answered already")
	// ErrUnknown: the account has no such key.
	ErrUnknown = errors.New("there is no such passkey")
	// ErrCloned: the key counted backwards, so there may be a copy of it.
	ErrCloned = errors.New("the passkey counts backwards: there may be a copy of it")
	// ErrTaken: the account has this key already.
	ErrTaken = errors.New("the account has this passkey already")
	// ErrTooMany: the account has as many as it may.
	ErrTooMany = errors.New("the account has as many passkeys as it may")
	// ErrName: a name is empty or too long.
	ErrName = errors.New("a passkey's name has 1 to 50 characters")
	// ErrHost: the tenant's host is an address, of which browsers make no passkeys.
	ErrHost = errors.New("passkeys need a host name, not an address")
)

const (
	// Max is how many an account may have.
	Max = 20
	// MaxName is the most characters of a name.
	MaxName = 50
	// MaxAnswer is the most bytes that an answer of a browser is read of.
	MaxAnswer = 64 << 10
)

// Key is one passkey of an account.
type Key struct {
	ID         []byte
	Name       string
	CreatedAt  time.Time
	LastUsedAt *time.Time
	WarnedAt   *time.Time // when it counted backwards
	Synced     bool       // it is kept in an account of its maker's, and not in one device alone

	public     []byte
	aaguid     []byte
	transports string
	flags      protocol.AuthenticatorFlags
	count      uint32
}

// List gives an account's keys, oldest first.
func List(ctx context.Context, q *tenantdb.Queries, aid int64) ([]Key, error) {
	rows, err := q.ListPasskeys(ctx, tenantdb.ListPasskeysParams{AID: aid, MaxRows: Max})
	if err != nil {
		return nil, fmt.Errorf("passkeys of actor %d: %w", aid, err)
	}
	out := make([]Key, len(rows))
	for i, r := range rows {
		out[i] = keyOf(r)
	}
	return out, nil
}

func keyOf(r tenantdb.ListPasskeysRow) Key {
	k := Key{
		ID: r.CredentialID, Name: r.Name, CreatedAt: r.CreatedAt, LastUsedAt: r.LastUsedAt, WarnedAt: r.WarnedAt,
		public: r.PublicKey, aaguid: r.Aaguid, transports: r.Transports, flags: protocol.AuthenticatorFlags(r.Flags), count: uint32(r.SignCount),
	}
	k.Synced = k.flags.HasBackupState()
	return k
}

// CheckName gives a name as it is stored. Errors: [ErrName].
func CheckName(name string) (string, error) {
	name = strings.Join(strings.Fields(strings.ToValidUTF8(name, "")), " ")
	name = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, name)
	if n := utf8.RuneCountInString(name); n == 0 || n > MaxName {
		return "", ErrName
	}
	return name, nil
}

// Rename gives a key another name. Errors: [ErrName], [ErrUnknown].
func Rename(ctx context.Context, q *tenantdb.Queries, aid int64, id []byte, name string) error {
	name, err := CheckName(name)
	if err != nil {
		return err
	}
	n, err := q.UpdatePasskeyName(ctx, tenantdb.UpdatePasskeyNameParams{AID: aid, CredentialID: id, Name: name})
	if err != nil {
		return fmt.Errorf("rename passkey of actor %d: %w", aid, err)
	}
	if n == 0 {
		return ErrUnknown
	}
	return nil
}

// Delete removes a key and gives its name. Errors: [ErrUnknown].
func Delete(ctx context.Context, q *tenantdb.Queries, aid int64, id []byte) (name string, err error) {
	name, err = q.DeletePasskey(ctx, tenantdb.DeletePasskeyParams{AID: aid, CredentialID: id})
	if db.IsNoRows(err) {
		return "", ErrUnknown
	}
	if err != nil {
		return "", fmt.Errorf("delete passkey of actor %d: %w", aid, err)
	}
	return name, nil
}

// Party is who asks: a tenant.
type Party struct {
	ID     string // its host
	Name   string // shown by some browsers
	Origin string
}

// PartyOf is the party of a tenant by its public URL. Errors: [ErrHost].
func PartyOf(publicURL, name string) (Party, error) {
	u, err := url.Parse(publicURL)
	if err != nil || u.Hostname() == "" {
		return Party{}, fmt.Errorf("%w: %.100q", ErrHost, publicURL)
	}
	p := Party{ID: u.Hostname(), Name: name, Origin: u.Scheme + "://" + u.Host}
	if p.Name == "" {
		p.Name = p.ID
	}
	if err := protocol.ValidateRPID(p.ID); err != nil {
		return Party{}, fmt.Errorf("%w: %s", ErrHost, p.ID)
	}
	return p, nil
}

// askTime is how long a browser has for its answer, as it is told, and as we wait.
const askTime = 5 * time.Minute

func (p Party) webauthn() (*webauthn.WebAuthn, error) {
	wait := webauthn.TimeoutConfig{Timeout: askTime, TimeoutUVD: askTime}
	required := true
	w, err := webauthn.New(&webauthn.Config{
		RPID: p.ID, RPDisplayName: p.Name, RPOrigins: []string{p.Origin},
		AttestationPreference: protocol.PreferNoAttestation, // which maker's it is, is the owner's business
		AuthenticatorSelection: protocol.AuthenticatorSelection{
			ResidentKey: protocol.ResidentKeyRequirementRequired, RequireResidentKey: &required,
			UserVerification: protocol.VerificationRequired,
		},
		Timeouts: webauthn.TimeoutsConfig{Login: wait, Registration: wait},
		// What was asked for is not stored, and no output is read.
		ExtensionsUnsolicitedOutputPolicy: protocol.UnsolicitedOutputPolicyIgnore,
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrHost, err)
	}
	return w, nil
}

// Person is an account as a key knows it.
type Person struct {
	AID  int64
	DID  string
	Name string // shown where somebody chooses a key
	Keys []Key
}

// maxHandle is what WebAuthn gives room for.
const maxHandle = 64

// Handle is the user handle of an account: its DID, or its number here where that is too long.
func Handle(aid int64, did string) []byte {
	if len(did) <= maxHandle {
		return []byte(did)
	}
	return []byte("aid:" + strconv.FormatInt(aid, 10))
}

// HandleOf says whom a user handle means: a DID, or else an account's number. Errors: [ErrRefused].
func HandleOf(handle []byte) (did string, aid int64, err error) {
	s := string(handle)
	if strings.HasPrefix(s, "did:") && len(s) <= maxHandle && utf8.ValidString(s) && !strings.Contains(s, "\x00") {
		return s, 0, nil
	}
	if n, ok := strings.CutPrefix(s, "aid:"); ok {
		if aid, err = strconv.ParseInt(n, 10, 64); err == nil && aid > 0 {
			return "", aid, nil
		}
	}
	return "", 0, fmt.Errorf("%w: user handle", ErrRefused)
}

// WebAuthnID and its sisters make a person known to the library.
func (p Person) WebAuthnID() []byte          { return Handle(p.AID, p.DID) }
func (p Person) WebAuthnName() string        { return p.Name }
func (p Person) WebAuthnDisplayName() string { return p.Name }
func (p Person) WebAuthnCredentials() []webauthn.Credential {
	out := make([]webauthn.Credential, len(p.Keys))
	for i, k := range p.Keys {
		out[i] = webauthn.Credential{
			ID: k.ID, PublicKey: k.public, Flags: webauthn.NewCredentialFlags(k.flags), Transport: k.ways(),
			Authenticator: webauthn.Authenticator{AAGUID: k.aaguid, SignCount: k.count},
		}
	}
	return out
}

func (k Key) ways() []protocol.AuthenticatorTransport {
	var out []protocol.AuthenticatorTransport
	for w := range strings.SplitSeq(k.transports, ",") {
		if w != "" {
			out = append(out, protocol.AuthenticatorTransport(w))
		}
	}
	return out
}

func (p Person) descriptors() []protocol.CredentialDescriptor {
	return webauthn.Credentials(p.WebAuthnCredentials()).CredentialDescriptors()
}
