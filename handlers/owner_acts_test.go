package handlers

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/bluesky-social/indigo/atproto/atcrypto"

	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/identity"
	"github.com/auroralocus/locus/internal/mail"
)

// owner is the user as a page knows somebody who has proved a moment ago who it is.
func (u *user) owner() act.Owner {
	u.t.Helper()
	a, err := account.ByDID(context.WithoutCancel(u.t.Context()), u.db.Tenant(u.tenant().Schema).Q(), u.did)
	if err != nil {
		u.t.Fatal(err)
	}
	return act.Owner{
		Account: auth.Account{AID: a.AID, DID: a.DID, Handle: a.Handle, Scope: auth.ScopeAccess, TakenDown: a.TakenDown, Deactivated: a.Deactivated},
		Visitor: act.Visitor{Language: "en", Counted: true}, ProvenAt: u.clock.Now(),
	}
}

// stale is an owner whose proof is too old.
func (u *user) stale() act.Owner {
	o := u.owner()
	o.ProvenAt = u.clock.Now().Add(-auth.ProvenLife)
	return o
}

// is fails the test unless err is want; nil is success.
func (u *user) is(what string, err, want error) {
	u.t.Helper()
	if want == nil && err != nil || want != nil && !errors.Is(err, want) {
		u.t.Errorf("%s: %v, want %v", what, err, want)
	}
}

// An owner changes the password with a fresh proof: all sessions end, and a notice is mailed.
func TestOwnerChangesPassword(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	u := h.createAccount(hostA, "alice")
	ctx := t.Context()
	u.is("old proof", h.acts.ChangePassword(ctx, h.a, u.stale(), "another-password"), act.ErrProofOld)
	u.is("too short", h.acts.ChangePassword(ctx, h.a, u.owner(), "short"), account.ErrPasswordLength)
	u.is("change", h.acts.ChangePassword(ctx, h.a, u.owner(), "another-password"), nil)
	h.post(hostA, refreshSession, bearer(u.refresh), nil).fails(400, "ExpiredToken", "")
	u.ask("com.atproto.server.getSession").fails(400, "ExpiredToken", "")
	h.post(hostA, createSession, "", obj{"identifier": u.handle, "password": userPassword}).fails(401, "AuthenticationRequired", "")
	u.login("another-password")
	u.mailedToken(mail.KindPassword) // there is one
}

// Another address takes a code from there, and one from the present address once that is confirmed.
func TestOwnerMovesEmail(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	u := h.createAccount(hostA, "alice")
	other := h.createAccount(hostA, "bob")
	ctx := t.Context()
	taken := other.ask("com.atproto.server.getSession").ok().str("email")
	_, err := h.acts.RequestNewEmail(ctx, h.a, u.stale(), "new@example.com")
	u.is("old proof", err, act.ErrProofOld)
	_, err = h.acts.RequestNewEmail(ctx, h.a, u.owner(), taken)
	u.is("taken", err, account.ErrEmailTaken)
	_, err = h.acts.RequestNewEmail(ctx, h.a, u.owner(), "no address")
	u.is("no address", err, account.ErrEmailUnsupported)

	present, err := h.acts.RequestNewEmail(ctx, h.a, u.owner(), " New@example.com ")
	u.is("request", err, nil)
	if present {
		t.Error("an address that was never confirmed was asked")
	}
	code := u.mailedToken(mail.KindNewEmail)
	move := func(u *user, address, fresh, old string) error {
		return h.acts.MoveEmail(ctx, h.a, u.owner(), act.EmailMove{Address: address, New: fresh, Present: old})
	}
	u.is("no code", move(u, "new@example.com", "", ""), act.ErrTokenRequired)
	u.is("wrong code", move(u, "new@example.com", "AAAAA-AAAAA", ""), account.ErrTokenInvalid)
	u.is("another address", move(u, "newer@example.com", code, ""), account.ErrTokenInvalid)
	u.is("another account", move(other, "new@example.com", code, ""), account.ErrTokenInvalid)
	h.clock.add(2 * account.TokenLife)
	u.is("too late", move(u, "new@example.com", code, ""), account.ErrTokenInvalid)
	_, err = h.acts.RequestNewEmail(ctx, h.a, u.owner(), "new@example.com")
	u.is("again", err, nil)
	u.is("move", move(u, "new@example.com", strings.ToLower(u.mailedToken(mail.KindNewEmail)), ""), nil)
	if a, err := account.ByDID(ctx, h.db.Tenant(h.a.Schema).Q(), u.did); err != nil || a.Email != "new@example.com" || !a.EmailConfirmed {
		t.Errorf("%+v, %v", a, err)
	}

	// Now it is confirmed, and both must agree.
	present, err = h.acts.RequestNewEmail(ctx, h.a, u.owner(), "third@example.com")
	u.is("request with both", err, nil)
	if !present {
		t.Error("the present address was not asked")
	}
	fresh, old := u.mailedToken(mail.KindNewEmail), u.mailedToken(mail.KindUpdateEmail)
	u.is("only the new one", move(u, "third@example.com", fresh, ""), act.ErrTokenRequired)
	u.is("only the old one", move(u, "third@example.com", "", old), act.ErrTokenRequired)
	u.is("both", move(u, "third@example.com", fresh, old), nil)
	u.is("once", move(u, "third@example.com", fresh, old), act.ErrEmailSame)
	told := ""
	for _, m := range h.queued(h.a) {
		if m.Kind == mail.KindEmailChanged && m.Detail == "third@example.com" {
			told = m.To
		}
	}
	if told != "new@example.com" {
		t.Errorf("the change was told to %q", told)
	}
}

// How often somebody has strangers written to is bounded.
func TestOwnerMovesEmailLimited(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	u := h.createAccount(hostA, "alice")
	var err error
	for i := int64(0); err == nil && i <= act.NewEmailMails[0].Points; i++ {
		_, err = h.acts.RequestNewEmail(t.Context(), h.a, u.owner(), "new@example.com")
	}
	u.is("one too many", err, act.ErrWait)
}

// A key of the owner's own stands above the tenant's, and may be taken away again; the tenant's stays.
func TestOwnerRotationKeys(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	u := h.createAccount(hostA, "alice")
	ctx := t.Context()
	private, err := atcrypto.GeneratePrivateKeyP256()
	if err != nil {
		t.Fatal(err)
	}
	public, err := private.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	key := public.DIDKey()
	code := func() string {
		t.Helper()
		u.is("ask for a code", h.acts.RequestOperationSignature(ctx, h.a, u.owner()), nil)
		return u.mailedToken(mail.KindPLCOperation)
	}
	token := code()
	u.is("old proof", h.acts.AddRotationKey(ctx, h.a, u.stale(), token, key), act.ErrProofOld)
	u.is("no key", h.acts.AddRotationKey(ctx, h.a, u.owner(), token, "did:key:zNothing"), act.ErrRotationKey)
	u.is("wrong code", h.acts.AddRotationKey(ctx, h.a, u.owner(), "AAAAA-AAAAA", key), account.ErrTokenInvalid)
	u.is("add", h.acts.AddRotationKey(ctx, h.a, u.owner(), token, " "+key+"\n"), nil)
	u.is("used code", h.acts.RemoveRotationKey(ctx, h.a, u.owner(), token, key), account.ErrTokenInvalid)
	keys, err := h.acts.OwnKeys(ctx, h.a, u.owner())
	if err != nil || len(keys.Rotation) < 2 || keys.Rotation[0].Key != key || keys.Rotation[0].Ours || !strings.HasPrefix(keys.Signing, "did:key:z") {
		t.Fatalf("%+v, %v", keys, err)
	}
	last, err := h.plc.Last(ctx, u.did)
	if err != nil {
		t.Fatal(err)
	}
	if op, err := identity.RegularForm(last); err != nil || op.RotationKeys[0] != key {
		t.Errorf("%+v, %v", op, err)
	}
	if got := h.events(h.a); !strings.HasSuffix(got, "identity") {
		t.Errorf("events: %s", got)
	}
	u.mailedToken(mail.KindRotationKeyOn) // there is one
	token = code()
	u.is("twice", h.acts.AddRotationKey(ctx, h.a, u.owner(), token, key), act.ErrRotationKeyThere)
	ours := ""
	for _, k := range keys.Rotation {
		if k.Ours {
			ours = k.Key
		}
	}
	u.is("the tenant's", h.acts.RemoveRotationKey(ctx, h.a, u.owner(), token, ours), act.ErrRotationKeyOurs)
	u.is("remove", h.acts.RemoveRotationKey(ctx, h.a, u.owner(), token, key), nil)
	if keys, err := h.acts.OwnKeys(ctx, h.a, u.owner()); err != nil || keys.Rotation[0].Key == key {
		t.Errorf("%+v, %v", keys, err)
	}
	h.check()
}

// Both ways that a handle may lead somewhere are looked at, and each says what it is like.
func TestLookAtHandle(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	u := h.createAccount(hostA, "alice")
	seen, err := h.acts.LookAtHandle(t.Context(), h.a, u.handle)
	if err != nil || seen.HTTP.DID != u.did || seen.HTTP.Err != nil || !errors.Is(seen.DNS.Err, identity.ErrHandleNotFound) {
		t.Errorf("%+v, %v", seen, err)
	}
	seen, err = h.acts.LookAtHandle(t.Context(), h.a, "nobody.a.test")
	if err != nil || !errors.Is(seen.HTTP.Err, identity.ErrHandleNotFound) {
		t.Errorf("%+v, %v", seen, err)
	}
	if _, err = h.acts.LookAtHandle(t.Context(), h.a, "no handle"); !errors.Is(err, identity.ErrHandleSyntax) {
		t.Error(err)
	}
	for text, want := range map[string]error{"carol.a.test": nil, "alice.a.test": account.ErrHandleTaken, "a.a.test": identity.ErrHandleTooShort, "example.com": nil} {
		_, _, err := h.acts.HandleFree(t.Context(), h.a, text)
		u.is(text, err, want)
	}
}
