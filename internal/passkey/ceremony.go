package passkey

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/keyring"
)

// AskNew is what a browser is given to make a key for a person: the JSON of PublicKeyCredentialCreationOptions. Keys that
// the person has are named, so that no authenticator makes a second one. Errors: [ErrHost].
func AskNew(p Party, mac *keyring.MAC, now time.Time, b Bound, who Person) ([]byte, error) {
	w, err := p.webauthn()
	if err != nil {
		return nil, err
	}
	ours := func(o *protocol.PublicKeyCredentialCreationOptions) error {
		o.Challenge = challenge(mac, now, b)
		return nil
	}
	made, _, err := w.BeginRegistration(who, webauthn.WithExclusions(who.descriptors()), ours)
	if err != nil {
		return nil, fmt.Errorf("options for a new passkey: %w", err)
	}
	return json.Marshal(made.Response)
}

// Ask is what a browser is given for the answer of a key: the JSON of PublicKeyCredentialRequestOptions. Without a person
// any key of the tenant's may answer. Errors: [ErrHost].
func Ask(p Party, mac *keyring.MAC, now time.Time, b Bound, who *Person) ([]byte, error) {
	w, err := p.webauthn()
	if err != nil {
		return nil, err
	}
	opts := []webauthn.LoginOption{webauthn.WithChallenge(challenge(mac, now, b))}
	if who != nil {
		opts = append(opts, webauthn.WithAllowedCredentials(who.descriptors()))
	}
	made, _, err := w.BeginDiscoverableLogin(opts...)
	if err != nil {
		return nil, fmt.Errorf("options for a passkey's answer: %w", err)
	}
	return json.Marshal(made.Response)
}

// New is a key that a browser has made, looked at and not stored yet.
type New struct {
	credential *webauthn.Credential
	challenge  string
}

// Made looks at what a browser answers to [AskNew]. Errors: [ErrRefused], [ErrExpired], [ErrHost].
func Made(p Party, mac *keyring.MAC, now time.Time, b Bound, who Person, answer []byte) (*New, error) {
	w, err := p.webauthn()
	if err != nil {
		return nil, err
	}
	if len(answer) > MaxAnswer {
		return nil, fmt.Errorf("%w: too long", ErrRefused)
	}
	parsed, err := protocol.ParseCredentialCreationResponseBytes(answer)
	if err != nil {
		return nil, refused(err)
	}
	text := parsed.Response.CollectedClientData.Challenge
	if err := b.check(mac, now, text); err != nil {
		return nil, err
	}
	c, err := w.CreateCredential(who, webauthn.SessionData{
		Challenge: text, RelyingPartyID: p.ID, UserID: who.WebAuthnID(), UserVerification: protocol.VerificationRequired,
		CredParams: webauthn.CredentialParametersDefault(),
	}, parsed)
	if err != nil {
		return nil, refused(err)
	}
	return &New{c, text}, nil
}

// Insert stores the key under a name. Errors: [ErrExpired], [ErrTaken], [ErrTooMany], [ErrName].
func (n *New) Insert(ctx context.Context, q *tenantdb.Queries, now time.Time, aid int64, name string) error {
	name, err := CheckName(name)
	if err != nil {
		return err
	}
	if err := useUp(ctx, q, now, n.challenge); err != nil {
		return err
	}
	have, err := q.CountPasskeys(ctx, aid)
	if err != nil {
		return fmt.Errorf("passkeys of actor %d: %w", aid, err)
	}
	if have >= Max {
		return ErrTooMany
	}
	c := n.credential
	stored, err := q.InsertPasskey(ctx, tenantdb.InsertPasskeyParams{
		AID: aid, CredentialID: c.ID, Name: name, PublicKey: c.PublicKey, Aaguid: c.Authenticator.AAGUID,
		Transports: transports(c.Transport), Flags: int16(c.Flags.ProtocolValue()), SignCount: int64(c.Authenticator.SignCount),
		CreatedAt: now.UTC(), MaxRows: Max,
	})
	if err != nil {
		return fmt.Errorf("store passkey of actor %d: %w", aid, err)
	}
	if stored == 0 {
		return ErrTaken
	}
	return nil
}

// known are the transports that browsers are told of again; others say nothing to them.
var known = []string{"usb", "nfc", "ble", "smart-card", "hybrid", "internal"}

func transports(of []protocol.AuthenticatorTransport) string {
	var out []string
	for _, t := range of {
		if slices.Contains(known, string(t)) && !slices.Contains(out, string(t)) {
			out = append(out, string(t))
		}
	}
	return strings.Join(out, ",")
}

// Answer is what a browser answers to [Ask], read and not believed yet.
type Answer struct {
	parsed *protocol.ParsedCredentialAssertionData
}

// Read reads an answer. Errors: [ErrRefused].
func Read(answer []byte) (*Answer, error) {
	if len(answer) > MaxAnswer {
		return nil, fmt.Errorf("%w: too long", ErrRefused)
	}
	parsed, err := protocol.ParseCredentialRequestResponseBytes(answer)
	if err != nil {
		return nil, refused(err)
	}
	return &Answer{parsed}, nil
}

// Handle is whom the answer claims to be of.
func (a *Answer) Handle() []byte { return a.parsed.Response.UserHandle }

// Used is what came of an answer.
type Used struct {
	Name   string // of the key
	Cloned bool   // it counted backwards: the answer is refused, once this is stored
}

// Use looks at an answer of an account's key and uses its challenge up, in one transaction. A key that counted backwards
// is no error: the transaction is to be committed, so that the warning stays, and the answer refused.
// Errors: [ErrRefused], [ErrExpired], [ErrUnknown], [ErrHost].
func (a *Answer) Use(ctx context.Context, q *tenantdb.Queries, p Party, mac *keyring.MAC, now time.Time, b Bound, who Person) (Used, error) {
	w, err := p.webauthn()
	if err != nil {
		return Used{}, err
	}
	text := a.parsed.Response.CollectedClientData.Challenge
	if err := b.check(mac, now, text); err != nil {
		return Used{}, err
	}
	id := a.parsed.RawID
	row, err := q.LockPasskey(ctx, tenantdb.LockPasskeyParams{AID: who.AID, CredentialID: id})
	if db.IsNoRows(err) {
		return Used{}, ErrUnknown
	}
	if err != nil {
		return Used{}, fmt.Errorf("passkey of actor %d: %w", who.AID, err)
	}
	who.Keys = []Key{keyOf(tenantdb.ListPasskeysRow{
		CredentialID: id, Name: row.Name, PublicKey: row.PublicKey, Aaguid: row.Aaguid, Transports: row.Transports,
		Flags: row.Flags, SignCount: row.SignCount, CreatedAt: row.CreatedAt,
	})}
	session := webauthn.SessionData{Challenge: text, RelyingPartyID: p.ID, UserVerification: protocol.VerificationRequired}
	c, err := a.validate(w, session, b, who)
	if err != nil {
		return Used{}, refused(err)
	}
	if err := useUp(ctx, q, now, text); err != nil {
		return Used{}, err
	}
	used := Used{Name: row.Name, Cloned: c.Authenticator.CloneWarning}
	if used.Cloned {
		err = q.UpdatePasskeyWarned(ctx, tenantdb.UpdatePasskeyWarnedParams{AID: who.AID, CredentialID: id, Now: now.UTC()})
	} else {
		err = q.UpdatePasskeyUsed(ctx, tenantdb.UpdatePasskeyUsedParams{
			AID: who.AID, CredentialID: id, SignCount: int64(c.Authenticator.SignCount), Flags: int16(c.Flags.ProtocolValue()), Now: now.UTC(),
		})
	}
	if err != nil {
		return Used{}, fmt.Errorf("use passkey of actor %d: %w", who.AID, err)
	}
	return used, nil
}

// validate has the library look at the answer. Where the account is known already, a key need not name it.
func (a *Answer) validate(w *webauthn.WebAuthn, session webauthn.SessionData, b Bound, who Person) (*webauthn.Credential, error) {
	if b.AID != 0 {
		session.UserID = who.WebAuthnID()
		return w.ValidateLogin(who, session, a.parsed)
	}
	_, c, err := w.ValidatePasskeyLogin(func(_, _ []byte) (webauthn.User, error) { return who, nil }, session, a.parsed)
	return c, err
}

// refused is the library's error as ours. What it says of the client's bytes is cut off: it goes to the log.
func refused(err error) error {
	text := err.Error()
	if e := (*protocol.Error)(nil); errors.As(err, &e) {
		text = e.Details
		if e.DevInfo != "" {
			text += ": " + e.DevInfo
		}
	}
	return fmt.Errorf("%w: %.200q", ErrRefused, text)
}
