package handlers

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/auroralocus/locus/internal/tenant"
	"github.com/auroralocus/locus/internal/xrpc"

	"github.com/bluesky-social/indigo/atproto/atcrypto"
	"github.com/did-method-plc/go-didplc"

	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/identity"
	"github.com/auroralocus/locus/internal/mail"
	"github.com/auroralocus/locus/repo/dagcbor"
)

// The tests of this file provoke declared errors that no test of what a method does comes across: each by method, status
// and name. TestMain sees to it that none is left out.

// provocation is a call and the error that it must get.
type provocation struct {
	what   string
	method string // without com.atproto.
	call   func() reply
	status int
	name   string
}

func provoke(t *testing.T, list []provocation) {
	t.Helper()
	for _, p := range list {
		r := p.call()
		if !strings.HasSuffix(strings.Split(r.what, "?")[0], "/xrpc/com.atproto."+p.method) {
			t.Errorf("%s is a call of %s, not %s", p.what, r.what, p.method)
		}
		r.what = p.what + ": " + r.what
		r.fails(p.status, p.name, "")
	}
}

// forget deletes an account's row as another process would: what is known here of it stays.
func (h *house) forget(t *tenant.Tenant, aid int64) {
	h.t.Helper()
	err := h.db.Tenant(t.Schema).Tx(h.t.Context(), func(q *tenantdb.Queries) error {
		_, err := account.Delete(h.t.Context(), q, h.clock.Now(), aid)
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
}

// TestErrorsOfIdentities is about DIDs that are not there, or not any more.
func TestErrorsOfIdentities(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	const nobody = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa"
	ended, keyless := h.createAccount(hostA, "ended"), h.createAccount(hostA, "keyless")
	h.clock.add(time.Hour)
	rotation, err := h.tenants.RotationSigner(t.Context(), h.a)
	if err != nil {
		t.Fatal(err)
	}
	last, err := h.plc.Last(t.Context(), ended.did)
	if err != nil {
		t.Fatal(err)
	}
	end, err := identity.NewTombstone(last, rotation)
	if err == nil {
		err = h.plc.Submit(t.Context(), ended.did, end)
	}
	if err != nil {
		t.Fatal(err)
	}
	keyless.plcUpdate(func(op *didplc.RegularOp) { delete(op.VerificationMethods, identity.KeyAtproto) }, nil)
	h.post(hostA, "com.atproto.identity.refreshIdentity", "", obj{"identifier": keyless.did}).ok()

	key, err := atcrypto.GeneratePrivateKeyK256()
	if err != nil {
		t.Fatal(err)
	}
	// moved is createAccount at the other tenant with a token of an issuer.
	moved := func(did, iss string) func() reply {
		return func() reply {
			token := forge(t, key, obj{"typ": "JWT", "alg": "ES256K"}, obj{"iss": iss, "aud": h.b.ServiceDID, "lxm": createAccount, "jti": h.email(""), "exp": h.clock.Now().Add(time.Minute).Unix()})
			return h.post(hostB, createAccount, bearer(token), obj{"did": did, "handle": "moved.b.test", "email": h.email("moved"), "password": userPassword})
		}
	}
	list := []provocation{
		{"a DID that never was", "server.createAccount", moved(nobody, nobody), 400, "UnresolvableDid"},
		{"a DID that was ended", "server.createAccount", moved(ended.did, ended.did), 400, "UnresolvableDid"},
		{"a document without key", "server.createAccount", moved(keyless.did, keyless.did), 400, "IncompatibleDidDoc"},
		{"an issuer that has no document", "server.createAccount", moved(keyless.did, keyless.did+"#other"), 401, "BadJwtIss"},
	}
	for _, d := range []struct{ what, did, name string }{
		{"a DID that never was", nobody, "DidNotFound"}, {"a DID that was ended", ended.did, "DidDeactivated"}, {"a handle", "nobody.a.test", "HandleNotFound"},
	} {
		if d.name != "HandleNotFound" {
			list = append(list, provocation{d.what, "identity.resolveDid", func() reply { return h.get(hostA, "com.atproto.identity.resolveDid", "", "did", d.did) }, 400, d.name})
		}
		list = append(list,
			provocation{d.what, "identity.resolveIdentity", func() reply {
				return h.get(hostA, "com.atproto.identity.resolveIdentity", "", "identifier", d.did)
			}, 400, d.name},
			provocation{d.what, "identity.refreshIdentity", func() reply {
				return h.post(hostA, "com.atproto.identity.refreshIdentity", "", obj{"identifier": d.did})
			}, 400, d.name})
	}
	provoke(t, list)
}

// TestErrorsOfMailedTokens is about tokens that come too late.
func TestErrorsOfMailedTokens(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	u := h.createAccount(hostA, "alice")
	u.call("com.atproto.server.requestEmailConfirmation", nil).ok()
	email := u.ask("com.atproto.server.getSession").ok().str("email")
	u.call("com.atproto.server.confirmEmail", obj{"email": email, "token": u.mailedToken(mail.KindConfirmEmail)}).ok()
	u.call("com.atproto.server.requestEmailUpdate", nil).ok()
	u.call("com.atproto.identity.requestPlcOperationSignature", nil).ok()
	update, sign := u.mailedToken(mail.KindUpdateEmail), u.mailedToken(mail.KindPLCOperation)
	h.clock.add(time.Hour)
	provoke(t, []provocation{
		{"a late token", "server.updateEmail", func() reply {
			return u.call("com.atproto.server.updateEmail", obj{"email": h.email("new"), "token": update})
		}, 400, "ExpiredToken"},
		{"a late token", "identity.signPlcOperation", func() reply {
			return u.call("com.atproto.identity.signPlcOperation", obj{"token": sign})
		}, 400, "ExpiredToken"},
	})
}

// TestErrorsOfRepositories is about blobs that are not as a record says, and accounts that are not there to be read or
// written to.
func TestErrorsOfRepositories(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	u := h.createAccount(hostA, "alice")
	picture := u.uploaded(png(10))
	with := func(name string, value any) obj {
		changed := maps.Clone(picture)
		changed[name] = value
		return imagePost("x", changed)
	}
	var list []provocation
	for name, record := range map[string]obj{
		"BlobNotFound":    with("ref", obj{"$link": dagcbor.RawCID([]byte("nowhere")).String()}),
		"InvalidMimeType": with("mimeType", "image/gif"),
		"InvalidSize":     with("size", 5),
	} {
		const posts = "app.bsky.feed.post"
		list = append(list,
			provocation{"a blob", "repo.createRecord", func() reply { return u.create(posts, "", record) }, 400, name},
			provocation{"a blob", "repo.putRecord", func() reply { return u.put(posts, rk("a"), record) }, 400, name},
			provocation{"a blob", "repo.applyWrites", func() reply { return u.apply(createOp(posts, rk("a"), record)) }, 400, name})
	}
	u.create("app.bsky.feed.post", "", imagePost("x", picture)).ok()
	list = append(list,
		provocation{"another tag", "sync.getBlob", func() reply { return u.blobFile(refOf(picture), `If-Match: "x"`) }, 412, "PreconditionFailed"},
		provocation{"beyond its end", "sync.getBlob", func() reply { return u.blobFile(refOf(picture), "Range: bytes=1000-") }, 416, "RangeNotSatisfiable"})
	provoke(t, list)

	// The account goes while its calls are on their way: the gate still knows it, for as long as what it knows is fresh.
	for i, p := range []struct {
		method string
		call   func(u *user) reply
	}{
		{"repo.createRecord", func(u *user) reply { return u.create(custom, "a", obj{"n": 1}) }},
		{"repo.putRecord", func(u *user) reply { return u.put(custom, "a", obj{"n": 1}) }},
		{"repo.deleteRecord", func(u *user) reply { return u.del(custom, "a") }},
		{"repo.applyWrites", func(u *user) reply { return u.apply(createOp(custom, "a", obj{"n": 1})) }},
		{"repo.uploadBlob", func(u *user) reply { return u.upload(png(20)) }},
	} {
		for try := 0; ; try++ {
			known := time.Now()
			u := h.createAccount(hostA, fmt.Sprintf("gone%d%d", i, try))
			aid := h.aid(h.a, u.did)
			u.uploaded(png(10))
			h.forget(h.a, aid)
			r := p.call(u)
			if time.Since(known) > account.Fresh && try < 20 {
				continue // a slow moment
			}
			r.what = "no account: " + r.what
			r.fails(400, "RepoNotFound", "")
			break
		}
	}

	down, off := h.createAccount(hostA, "down"), h.createAccount(hostA, "off")
	h.status(hostA, down.did, true, nil).ok()
	h.status(hostA, off.did, nil, true).ok()
	list = nil
	for _, method := range []string{"sync.getRepo", "sync.getCheckout", "sync.listBlobs", "sync.getLatestCommit"} {
		read := func(did string) func() reply {
			return func() reply { return h.get(hostA, "com.atproto."+method, "", "did", did) }
		}
		list = append(list,
			provocation{"taken down", method, read(down.did), 400, "RepoTakendown"},
			provocation{"deactivated", method, read(off.did), 400, "RepoDeactivated"},
			provocation{"unknown", method, read("did:plc:aaaaaaaaaaaaaaaaaaaaaaaa"), 400, "RepoNotFound"})
	}
	provoke(t, list)
}

// TestErrorsOfOperators is about accounts that are not there.
func TestErrorsOfOperators(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	const nobody = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa"
	act := func(method string, in obj) provocation {
		return provocation{"nobody", "admin." + method, func() reply { return h.admin(hostA, method, in) }, 400, "NotFound"}
	}
	provoke(t, []provocation{
		act("disableAccountInvites", obj{"account": nobody}),
		act("enableAccountInvites", obj{"account": nobody}),
		act("updateAccountHandle", obj{"did": nobody, "handle": "nobody." + hostA}),
	})
}

// endless is a body of blanks, of exactly a length, that does not say so.
func endless(n int64) io.Reader { return bytes.NewReader(bytes.Repeat([]byte(" "), int(n))) }

// TestBodyLimitOfEveryMethod sends each method one byte more than it takes.
func TestBodyLimitOfEveryMethod(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	u := h.createAccount(hostA, "alice")
	const setting = 100 << 10
	h.set(hostA, "blob_upload_limit", fmt.Sprint(setting), "max_repo_import_size", fmt.Sprint(setting))
	n := 0
	for _, nsid := range h.sorted() {
		op := h.server.Operations[nsid]
		size := op.Limit
		if op.LimitOf != nil {
			size = setting
		}
		if size == 0 {
			continue
		}
		n++
		kind := "Content-Type: " + strings.Replace(op.Input, "*/*", "image/png", 1)
		var body any = endless(size + 1)
		if op.Input != "application/json" {
			body = make([]byte, size+1) // said beforehand: what it holds may be refused sooner
		}
		r := h.raw("POST", hostA, "/xrpc/"+nsid, body, kind, h.credentials(nsid, u))
		r.fails(413, op.TooLarge(), "request entity too large")
	}
	t.Logf("%d methods", n)
}

// TestLimitOfEveryMethod calls each method that has a limit of its own until it is told to wait.
func TestLimitOfEveryMethod(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	u := h.createAccount(hostA, "alice")
	h.set(hostA, "rate_limits", "on", "rate_limit_percent", "1")
	calls := 0
	for _, nsid := range h.sorted() {
		op := h.server.Operations[nsid]
		if op.Limits.String() == "-" {
			continue
		}
		calls++
		from := fmt.Sprintf("X-Forwarded-For: 203.0.113.%d", calls)
		most := 2 + op.Limits.Buckets[0].Points/100
		for i := range most {
			if strings.HasSuffix(op.Limits.String(), "per account") { // or the address's own limit would be the one
				calls++
				from = fmt.Sprintf("X-Forwarded-For: 198.51.%d.%d", calls/250, calls%250)
			}
			r := h.limited(nsid, u, from)
			if r.status == http.StatusTooManyRequests {
				r.fails(429, "RateLimitExceeded", "Rate Limit Exceeded")
				break
			}
			if i == most-1 {
				t.Errorf("%s: call %d: %d %.200s", nsid, i+1, r.status, r.body)
			}
		}
	}
}

// limited is a call that counts.
func (h *house) limited(nsid string, u *user, from string) reply {
	h.t.Helper()
	auth := h.credentials(nsid, u)
	op := h.server.Operations[nsid]
	switch {
	case op.Kind == xrpc.QueryKind:
		return h.raw("GET", hostA, "/xrpc/"+nsid+h.goodQuery(nsid), nil, auth, from)
	case op.Input == "":
		return h.raw("POST", hostA, "/xrpc/"+nsid, nil, auth, from)
	case op.Input != "application/json":
		return h.raw("POST", hostA, "/xrpc/"+nsid, onePixel, auth, from, "Content-Type: image/png")
	}
	in := h.goodBody(nsid)
	if strings.Contains(nsid, ".repo.") {
		in["repo"] = u.did
	}
	if _, ok := in["writes"]; ok { // none costs nothing
		in["writes"] = list{deleteOp(custom, "a")}
	}
	return h.raw("POST", hostA, "/xrpc/"+nsid, in, auth, from)
}

// TestSlowBody: a body that does not come is not waited for.
func TestSlowBody(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	u := h.createAccount(hostA, "alice")
	for nsid, kind := range map[string]string{"com.atproto.repo.createRecord": "application/json", "com.atproto.repo.uploadBlob": "image/png"} {
		in, out := io.Pipe()
		go func() { _, _ = out.Write([]byte("{")) }()
		r, err := h.try("POST", hostA, "/xrpc/"+nsid, in, bearer(u.access), "Content-Type: "+kind, hurry+": 1")
		_ = out.CloseWithError(errors.New("nothing more"))
		if err != nil {
			t.Errorf("%s: %v", nsid, err)
			continue
		}
		r.fails(408, "RequestTimeout", "")
	}
}
