package account_test

import (
	"context"
	"testing"
	"time"

	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/account"
)

// fillItems gives an account one or two of each kind of item, by the statements that make them.
func (h *house) fillItems(t *testing.T, q *tenantdb.Queries, aid int64, email string) {
	t.Helper()
	ctx, now, later := t.Context(), h.clock.Now(), h.clock.Now().Add(time.Hour)
	device := []byte("device")
	err := q.UpsertDevice(ctx, tenantdb.UpsertDeviceParams{ID: device, Session: device, Now: now, ExpiresAt: later})
	if err != nil {
		t.Fatal(err)
	}
	counted := func(_ int64, err error) error { return err }
	for what, err := range map[string]error{
		"one-time codes": counted(q.UpsertTOTP(ctx, tenantdb.UpsertTOTPParams{AID: aid, Sealed: []byte{1}, CreatedAt: now})),
		"backup codes":   q.InsertBackupCodes(ctx, tenantdb.InsertBackupCodesParams{AID: aid, Macs: [][]byte{{1}, {2}}}),
		"passkey":        counted(q.InsertPasskey(ctx, tenantdb.InsertPasskeyParams{AID: aid, CredentialID: []byte{1}, PublicKey: []byte{1}, Aaguid: []byte{1}, CreatedAt: now, MaxRows: 9})),
		"trusted":        q.UpsertTrustedBrowser(ctx, tenantdb.UpsertTrustedBrowserParams{AID: aid, Device: device, Now: now, ExpiresAt: later}),
		"consent":        q.UpsertOAuthConsent(ctx, tenantdb.UpsertOAuthConsentParams{AID: aid, ClientID: "c", Granted: "g", Now: now}),
		"preferences":    counted(q.UpsertPreference(ctx, tenantdb.UpsertPreferenceParams{AID: aid, Value: "[]", UpdatedAt: now})),
		"no preferences": q.InsertPreferenceIfAbsent(ctx, tenantdb.InsertPreferenceIfAbsentParams{AID: aid, UpdatedAt: now}),
		"request":        q.InsertSignupRequest(ctx, tenantdb.InsertSignupRequestParams{AID: aid, CreatedAt: now}),
	} {
		if err != nil {
			t.Fatal(what, err)
		}
	}
	if email == "" {
		return
	}
	_, err = q.UpsertEmailToken(ctx, tenantdb.UpsertEmailTokenParams{AID: aid, Email: email, Purpose: "confirm_email", TokenMac: []byte{byte(aid)}, CreatedAt: now, ExpiresAt: later})
	if err != nil {
		t.Fatal(err)
	}
}

// What an account has goes with it, whatever its kind, and nothing can be put there afterwards. Others keep theirs.
func TestDeleteTakesAllItems(t *testing.T) {
	h := newHouse(t, map[string]string{"signup": "open"})
	ctx := t.Context()
	var aids []int64
	var emails []string
	for _, name := range []string{"alice", "bob"} {
		s, err := h.signUp(ctx, h.request(name), fault{})
		if err != nil {
			t.Fatal(err)
		}
		aids, emails = append(aids, s.AID), append(emails, s.Email)
	}
	q := h.tdb.Q()
	for i, aid := range aids {
		h.fillItems(t, q, aid, emails[i])
		// Those whose statement stands behind a lock that no deleted account gives.
		if _, err := q.InsertAppPassword(ctx, tenantdb.InsertAppPasswordParams{AID: aid, Name: "one", PasswordMac: []byte{1}, CreatedAt: h.clock.Now(), MaxRows: 9}); err != nil {
			t.Fatal(err)
		}
		err := q.UpsertDeviceAccount(ctx, tenantdb.UpsertDeviceAccountParams{AID: aid, Device: []byte("device"), Now: h.clock.Now(), ExpiresAt: h.clock.Now().Add(time.Hour)})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := q.LockActivity(ctx, aid); err != nil {
			t.Fatal(err)
		}
	}
	kinds := func(aid int64) (n, marks int) {
		t.Helper()
		sql := "SELECT count(DISTINCT kind), count(*) FILTER (WHERE kind = 12) FROM " + h.tenant.Schema.String() + ".account_item WHERE aid = $1"
		if err := h.raw.QueryRow(ctx, sql, aid).Scan(&n, &marks); err != nil {
			t.Fatal(err)
		}
		return n, marks
	}
	const all = 11 // but the mark of a purge, and of accounts that are older than the counters
	for _, aid := range aids {
		if n, _ := kinds(aid); n != all {
			t.Fatalf("%d kinds, want %d", n, all)
		}
	}
	inTx := func(do func(q *tenantdb.Queries) error) {
		t.Helper()
		if err := h.tdb.Tx(context.WithoutCancel(ctx), do); err != nil {
			t.Fatal(err)
		}
	}
	inTx(func(q *tenantdb.Queries) error { _, err := account.Delete(ctx, q, h.clock.Now(), aids[0]); return err })
	h.fillItems(t, q, aids[0], "")
	if n, marks := kinds(aids[0]); n != 1 || marks != 1 {
		t.Errorf("%d kinds are left of a deleted account, %d marks", n, marks)
	}
	for done := false; !done; {
		inTx(func(q *tenantdb.Queries) (err error) { done, err = account.Purge(ctx, q, aids[0]); return err })
	}
	if n, _ := kinds(aids[0]); n != 0 {
		t.Errorf("%d kinds are left of a purged account", n)
	}
	if n, marks := kinds(aids[1]); n != all || marks != 0 {
		t.Errorf("another account has %d kinds, want %d", n, all)
	}
}

// A browser that is forgotten, or whose time is over, takes sign-ins and trust along, and no other's.
func TestDeviceTakesItsItems(t *testing.T) {
	h := newHouse(t, map[string]string{"signup": "open"})
	ctx, now := t.Context(), h.clock.Now()
	s, err := h.signUp(ctx, h.request("alice"), fault{})
	if err != nil {
		t.Fatal(err)
	}
	q := h.tdb.Q()
	for id, life := range map[string]time.Duration{"forgotten": time.Hour, "expired": time.Minute, "kept": time.Hour} {
		device := []byte(id)
		err := q.UpsertDevice(ctx, tenantdb.UpsertDeviceParams{ID: device, Session: device, Now: now, ExpiresAt: now.Add(life)})
		if err == nil {
			err = q.UpsertTrustedBrowser(ctx, tenantdb.UpsertTrustedBrowserParams{AID: s.AID, Device: device, Now: now, ExpiresAt: now.Add(time.Hour)})
		}
		for _, request := range []string{"", "urn:r"} {
			if err == nil {
				err = q.UpsertDeviceAccount(ctx, tenantdb.UpsertDeviceAccountParams{AID: s.AID, Device: device, Request: request, Now: now, ExpiresAt: now.Add(time.Hour)})
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	has := func(want string) {
		t.Helper()
		var got string
		sql := "SELECT coalesce(string_agg(DISTINCT convert_from(lookup, 'UTF8') || ' ' || kind, ', '), '') FROM " + h.tenant.Schema.String() + ".account_item WHERE kind IN (6, 7)"
		if err := h.raw.QueryRow(ctx, sql).Scan(&got); err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	has("expired 6, expired 7, forgotten 6, forgotten 7, kept 6, kept 7")
	if err := q.DeleteDevice(ctx, []byte("forgotten")); err != nil {
		t.Fatal(err)
	}
	has("expired 6, expired 7, kept 6, kept 7")
	n, err := q.DeleteExpiredDevices(ctx, tenantdb.DeleteExpiredDevicesParams{Now: now.Add(2 * time.Minute), MaxRows: 9})
	if n != 1 || err != nil {
		t.Errorf("%d expired: %v", n, err)
	}
	has("kept 6, kept 7")
	err = q.UpsertTrustedBrowser(ctx, tenantdb.UpsertTrustedBrowserParams{AID: s.AID, Device: []byte("expired"), Now: now, ExpiresAt: now.Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	has("kept 6, kept 7")
}
