package account_test

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bluesky-social/indigo/atproto/atcrypto"

	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/identity"
	"github.com/auroralocus/locus/internal/mail"
	"github.com/auroralocus/locus/repo"
)

// upload puts a file into the account, with a record that names it.
func (p *person) upload(kind string, content []byte) (cid string) {
	p.t.Helper()
	r, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, p.origin()+"/xrpc/com.atproto.repo.uploadBlob", bytes.NewReader(content))
	if err != nil {
		p.t.Fatal(err)
	}
	r.Header.Set("Content-Type", kind)
	r.Header.Set("Authorization", "Bearer "+p.access)
	a := p.do(r).is(200)
	var out struct {
		Blob struct {
			Ref struct {
				Link string `json:"$link"`
			} `json:"ref"`
		} `json:"blob"`
	}
	if err := json.Unmarshal(a.body, &out); err != nil {
		p.t.Fatal(err)
	}
	var whole map[string]any
	if err := json.Unmarshal(a.body, &whole); err != nil {
		p.t.Fatal(err)
	}
	p.call("com.atproto.repo.createRecord", map[string]any{"repo": p.did, "collection": "com.example.file", "record": map[string]any{"$type": "com.example.file", "file": whole["blob"]}})
	return out.Blob.Ref.Link
}

// Everything of an account comes as one file, and each part as what it says.
func TestDownloads(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice, bob := h.somebody(hostA, "alice"), h.somebody(hostA, "bob")
	image := append([]byte("\x89PNG\r\n\x1a\n"), bytes.Repeat([]byte{7}, 100_000)...)
	one, two := alice.upload("image/png", image), alice.upload("text/plain", []byte("hello"))
	foreign := bob.upload("text/plain", []byte("bob's own"))
	alice.get("/account/data").is(200, "/account/data/archive.zip", "/account/data/repo.car", "About 10")
	alice.get("/account").is(200, "2, 100")

	car := alice.get("/account/data/repo.car").is(200)
	if got := car.header.Get("Content-Disposition"); !strings.HasPrefix(got, `attachment; filename="alice.a.test-`) || car.header.Get("Content-Type") != "application/vnd.ipld.car" {
		t.Error(car.header)
	}
	doc, err := h.plc.Resolve(t.Context(), alice.did)
	if err != nil {
		t.Fatal(err)
	}
	key, err := doc.Key("atproto")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := repo.Verify(bytes.NewReader(car.body), alice.did, key, repo.VerifyOptions{}); err != nil {
		t.Errorf("the archive: %v", err)
	}

	whole := alice.get("/account/data/archive.zip").is(200)
	z, err := zip.NewReader(bytes.NewReader(whole.body), int64(len(whole.body)))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string][]byte{}
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		if got[f.Name], err = io.ReadAll(r); err != nil { // it checks the sum, too
			t.Errorf("%s: %v", f.Name, err)
		}
	}
	if len(got) != 5 || !bytes.Equal(got["repo.car"], car.body) || !bytes.Equal(got["blobs/"+one+".png"], image) || string(got["blobs/"+two]) != "hello" ||
		!strings.Contains(string(got["preferences.json"]), `"preferences"`) || !strings.Contains(string(got["did.json"]), alice.did) || strings.Contains(string(whole.body), foreign) {
		t.Errorf("%d files", len(got))
	}
	alice.get("/account/data/archive.zip?part=2").is(404)
	alice.get("/account/data/preferences.json").is(200, `"preferences": []`)
	if a := h.browser(hostA).get("/account/data/archive.zip"); a.status != 303 {
		t.Errorf("a stranger got %d", a.status)
	}
	// What the store has lost is named, and the rest comes all the same.
	h.exec(h.a, "UPDATE pds.blob SET size = size + 1 WHERE mime_type = 'image/png'")
	whole = alice.get("/account/data/archive.zip").is(200)
	if z, err = zip.NewReader(bytes.NewReader(whole.body), int64(len(whole.body))); err != nil {
		t.Fatal(err)
	}
	if f, err := z.Open("missing.txt"); err != nil {
		t.Error(err)
	} else if text, _ := io.ReadAll(f); strings.TrimSpace(string(text)) != one {
		t.Errorf("missing: %q", text)
	}
}

// A recovery key is added by a mailed code and stands above the server's; it can be taken away, the server's cannot.
func TestIdentity(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice := h.somebody(hostA, "alice")
	const path = "/account/identity"
	alice.get(path).is(200, alice.did, "this server", `"verificationMethod"`, "did:key:z").lacks("another holder")
	private, err := atcrypto.GeneratePrivateKeyP256()
	if err != nil {
		t.Fatal(err)
	}
	public, err := private.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	key := public.DIDKey()
	alice.submit(path, "do", "add", "key", "did:key:zNonsense").is(400, "This is no key that can be used", `value="did:key:zNonsense"`)
	alice.submit(path, "do", "add", "key", key).is(200, "A code is on its way", key)
	alice.submit(path, "do", "add", "key", key, "code", "AAAAA-AAAAA").is(400, "This code is not right", key)
	alice.submit(path, "do", "add", "key", key, "code", alice.code(mail.KindPLCOperation)).goes(path)
	alice.get(path).is(200, "The key was added", key, "another holder")
	last, err := h.plc.Last(t.Context(), alice.did)
	if err != nil {
		t.Fatal(err)
	}
	op, err := identity.RegularForm(last)
	if err != nil || op.RotationKeys[0] != key {
		t.Errorf("%+v, %v", op, err)
	}
	alice.told(mail.KindRotationKeyOn)
	alice.submit(path, "do", "remove", "key", op.RotationKeys[1]).is(200, "A code is on its way")
	alice.submit(path, "do", "remove", "key", op.RotationKeys[1], "code", alice.code(mail.KindPLCOperation)).is(400, "This server’s own key stays")
	alice.submit(path, "do", "remove", "key", key, "code", alice.code(mail.KindPLCOperation)).goes(path)
	alice.get(path).is(200, "The key was removed").lacks(key)
	alice.told(mail.KindRotationKeyOff)
}

// Deactivating with a date, activating again, and deleting by a mailed code and the password.
func TestLeave(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice := h.somebody(hostA, "alice")
	const path = "/account/leave"
	alice.submit(path, "do", "off", "then", "30").goes(path)
	alice.get(path).is(200, "Your account is deactivated", "It will be deleted on", "Activate my account").lacks("Deactivate my account")
	alice.told(mail.KindDeletionSet)
	for _, p := range paths {
		alice.get("/account"+p).is(200, "Your account is deactivated: nobody sees it")
	}
	if s := h.column(h.a, "SELECT (deactivated_at IS NOT NULL)::text || ' ' || (delete_after IS NOT NULL)::text FROM pds.actor"); s[0] != "true true" {
		t.Error(s)
	}
	alice.get("/account/data/archive.zip").is(200)
	alice.submit(path, "do", "on").goes(path)
	alice.get(path).is(200, "Your account is active again", "Deactivate my account")
	alice.told(mail.KindActivated)
	if s := h.column(h.a, "SELECT (deactivated_at IS NULL)::text || ' ' || (delete_after IS NULL)::text FROM pds.actor"); s[0] != "true true" {
		t.Error(s)
	}
	alice.submit(path, "do", "send").is(200, "A code is on its way")
	code := alice.code(mail.KindDeleteAccount)
	alice.submit(path, "do", "delete", "code", code, "password", "wrong").is(400, "This is not your password", `value="`+code)
	alice.submit(path, "do", "delete", "code", "AAAAA-AAAAA", "password", password).is(400, "This code is not right")
	alice.submit(path, "do", "delete", "code", code, "password", password).is(200, "Your account was deleted")
	if n := h.column(h.a, "SELECT did FROM pds.actor"); len(n) != 0 {
		t.Error(n)
	}
	alice.get("/account").goes("/account/sign-in?return=%2Faccount")
}

// service is a moderation service that keeps the reports it gets.
type service struct {
	http   *httptest.Server
	last   atomic.Pointer[map[string]any]
	refuse atomic.Bool
}

func newService(t *testing.T) *service {
	s := &service{}
	s.http = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		in := map[string]any{"from": r.Header.Get("Authorization")}
		_ = json.NewDecoder(r.Body).Decode(&in)
		s.last.Store(&in)
		w.Header().Set("Content-Type", "application/json")
		if s.refuse.Load() {
			w.WriteHeader(400)
			_, _ = w.Write([]byte(`{"error":"AlreadyAppealed","message":"once"}`))
			return
		}
		_, _ = w.Write([]byte(`{"id":1,"createdAt":"2026-11-28T12:00:00Z","reasonType":"x","reportedBy":"did:plc:x","subject":{}}`))
	}))
	t.Cleanup(s.http.Close)
	return s
}

// Whoever is taken down sees why, appeals, takes the data along and leaves. Nothing else is changed.
func TestTakenDown(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	ozone := newService(t)
	alice := h.somebody(hostA, "alice")
	file := alice.upload("text/plain", []byte("hello"))
	const path = "/account/moderation"
	alice.get(path).is(200, "Nothing of yours is taken down").lacks("Send the appeal")
	by := act.Operator{Operator: auth.Operator{Name: "admin"}}
	if err := h.acts.SetBlobStatus(t.Context(), h.a, by, alice.did, file, &act.Mark{Applied: true, Ref: "case-7"}); err != nil {
		t.Fatal(err)
	}
	uris := h.column(h.a, "SELECT path FROM pds.record")
	if err := h.acts.SetRecordStatus(t.Context(), h.a, by, "at://"+alice.did+"/"+uris[0], &act.Mark{Applied: true, Ref: "case-8"}); err != nil {
		t.Fatal(err)
	}
	alice.get(path).is(200, file, "Reference: case-7", uris[0], "Reference: case-8", "This server names nobody")
	h.set(hostA, "report_service", "did:plc:ozone234567ozone234567ab#atproto_labeler="+ozone.http.URL)
	appeal := func(about, why string) *answer {
		return alice.submit(path, "do", "appeal", "about", about, "why", why)
	}
	appeal("record "+uris[0], "").is(400, "Say in a few words why")
	appeal("record com.example.file/other", "because").is(400)
	appeal("record "+uris[0], "It is <mine>").goes(path)
	alice.get(path).is(200, "Your appeal was sent")
	got := *ozone.last.Load()
	if s, _ := got["subject"].(map[string]any); got["reason"] != "It is <mine>" || !strings.HasSuffix(got["reasonType"].(string), "#reasonAppeal") || s["uri"] != "at://"+alice.did+"/"+uris[0] || !strings.HasPrefix(got["from"].(string), "Bearer ") {
		t.Errorf("%v", got)
	}
	appeal("file "+file, "please").goes(path)
	if got := *ozone.last.Load(); got["reason"] != "Blob "+file+": please" {
		t.Errorf("%v", got)
	}

	if err := h.acts.SetAccountStatus(t.Context(), h.a, by, alice.did, &act.Mark{Applied: true, Ref: "case-9"}, nil); err != nil {
		t.Fatal(err)
	}
	alice.get("/account").goes("/account/sign-in?return=%2Faccount") // sessions ended
	alice.submit("/account/sign-in?return=%2Faccount%2Fmoderation", "step", "sign-in", "identifier", alice.handle, "password", password, "remember", "on").
		goes("/account/moderation?account=" + url.QueryEscape(alice.did))
	for _, p := range paths {
		alice.get("/account"+p).is(200, "have taken your account down")
	}
	alice.get(path).is(200, "Reference: case-9")
	alice.submit("/account/handle", "do", "take", "name", "other", "domain", hostA).is(403, "this cannot be changed")
	alice.submit("/account/password", "do", "change", "new", "another-password", "again", "another-password").is(403, "this cannot be changed")
	appeal("account", "I did nothing").goes(path)
	ozone.refuse.Store(true)
	appeal("account", "I did nothing").is(502, "did not take the appeal", "I did nothing")
	alice.get("/account/data/archive.zip").is(200)
	alice.submit("/account/leave", "do", "send").is(200)
	alice.submit("/account/leave", "do", "delete", "code", alice.code(mail.KindDeleteAccount), "password", password).is(200, "Your account was deleted")
}

// How often somebody may ask is bounded, and the page says for how long.
func TestLimits(t *testing.T) {
	t.Parallel()
	h := newHouse(t, "rate_limits", "on")
	alice := h.somebody(hostA, "alice")
	var last *answer
	for range 25 {
		if last = alice.get("/account/data/preferences.json"); last.status != 200 {
			break
		}
	}
	last.is(429)
	if last.header.Get("Retry-After") == "" {
		t.Error(last.header)
	}
	for range 6 {
		if last = alice.submit("/account/leave", "do", "send"); last.status != 200 {
			break
		}
	}
	last.is(429, "Too many attempts")
	if n := len(h.letters(h.a, mail.KindDeleteAccount)); n != 5 {
		t.Errorf("%d mails", n)
	}
	h.ahead.Add(int64(2 * time.Hour))
	alice.signIn(password)
	alice.get("/account/data/preferences.json").is(200)
}
