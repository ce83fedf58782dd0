package handlers

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// sentTo wants the answer to send the client elsewhere, for a minute and for nobody else.
func (r reply) sentTo() *url.URL {
	r.t.Helper()
	to, err := url.Parse(r.header.Get("Location"))
	if r.status != http.StatusFound || err != nil || to.Host == "" || r.header.Get("Cache-Control") != "private, max-age=60" {
		r.t.Fatalf("%s: %d %v %v", r.what, r.status, r.header, err)
	}
	return to
}

// notSent are the answers that must not lead to a file, whatever the tenant's redirect.
func (u *user) notSent(blob obj) {
	u.t.Helper()
	cid := refOf(blob)
	refused := func(why, name string) {
		u.t.Helper()
		for range 2 {
			r := u.blobFile(cid)
			r.fails(400, name, "")
			if r.header.Get("Location") != "" || r.header.Get("Cache-Control") == "private, max-age=60" {
				u.t.Errorf("%s: %v", why, r.header)
			}
		}
	}
	subject := obj{"$type": "com.atproto.admin.defs#repoBlobRef", "did": u.did, "cid": cid}
	u.admin(u.host, "updateSubjectStatus", obj{"subject": subject, "takedown": obj{"applied": true}}).ok()
	refused("the file is taken down", "BlobNotFound")
	u.admin(u.host, "updateSubjectStatus", obj{"subject": subject, "takedown": obj{"applied": false}}).ok()
	u.blobFile(cid).sentTo()
	u.setStatus("takedown_ref", "x")
	refused("the account is taken down", "RepoTakendown")
	u.setStatus("takedown_ref", nil)
	u.setStatus("deactivated_at", time.Now())
	refused("the account is deactivated", "RepoDeactivated")
	u.setStatus("deactivated_at", nil)
	u.blobFile(cid).sentTo()
	u.del("app.bsky.feed.post", rk("p")).ok()
	refused("no record names it", "BlobNotFound")
}

// TestBlobRedirect: a tenant's redirect is that tenant's and of the public; others are served here.
func TestBlobRedirect(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.http.Client().CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	h.set(hostA, "blob_redirect", "https://cdn.example/{did}/{cid}")
	alice, bob := h.createAccount(hostA, "alice"), h.createAccount(hostB, "bob")
	blob := alice.uploaded(onePixel)
	alice.blobFile(refOf(blob)).fails(400, "BlobNotFound", "")
	alice.create("app.bsky.feed.post", rk("p"), imagePost("x", blob)).ok()
	want := "https://cdn.example/" + alice.did + "/" + refOf(blob)
	for _, headers := range [][]string{nil, {"Range: bytes=0-3"}, {`If-None-Match: "` + refOf(blob) + `"`}} {
		if to := alice.blobFile(refOf(blob), headers...).sentTo(); to.String() != want {
			t.Errorf("%s, want %s", to, want)
		}
	}
	if r := h.raw("HEAD", hostA, "/xrpc/com.atproto.sync.getBlob"+params("did", alice.did, "cid", refOf(blob)), nil); r.sentTo().String() != want {
		t.Error(r.header)
	}
	// Whoever may see more than the public is served here, and nobody keeps that answer for others.
	if r := alice.blobFile(refOf(blob), bearer(alice.access)).ok(); !bytes.Equal(r.body, onePixel) || strings.Contains(r.header.Get("Cache-Control"), "public") {
		t.Error(r.header)
	}
	other := bob.uploaded(onePixel)
	bob.create("app.bsky.feed.post", "", imagePost("x", other)).ok()
	bob.blobFile(refOf(other)).ok()
	h.set(hostB, "blob_redirect", "presigned") // needs S3: from a disk the server answers
	bob.blobFile(refOf(other)).ok()
	alice.notSent(blob)
}

// TestBlobRedirectToS3: the link works as it is, gives the file as one to be saved, and needs nobody's keys.
func TestBlobRedirectToS3(t *testing.T) {
	t.Parallel()
	h, _, _ := s3House(t, map[string]string{"blob_redirect": "presigned"})
	h.set(hostB, "blob_redirect", "")
	h.http.Client().CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	alice, bob := h.createAccount(hostA, "alice"), h.createAccount(hostB, "bob")
	blob := alice.uploaded(onePixel)
	alice.blobFile(refOf(blob)).fails(400, "BlobNotFound", "")
	alice.create("app.bsky.feed.post", rk("p"), imagePost("x", blob)).ok()
	to := alice.blobFile(refOf(blob)).sentTo()
	if to.Query().Get("X-Amz-Expires") != "300" || !strings.HasPrefix(to.Path, "/files/some/where/") {
		t.Error(to)
	}
	get := func(at string) reply {
		t.Helper()
		r, err := h.http.Client().Get(at)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		var body bytes.Buffer
		_, _ = body.ReadFrom(r.Body)
		return reply{t: t, what: "the link", status: r.StatusCode, header: r.Header, body: body.Bytes()}
	}
	r := get(to.String()).ok()
	if !bytes.Equal(r.body, onePixel) || r.header.Get("Content-Type") != "image/png" || r.header.Get("Content-Disposition") != `attachment; filename="`+refOf(blob)+`"` {
		t.Errorf("%d bytes, %v", len(r.body), r.header)
	}
	// A signature is one for GET: who asks for the headers has them from here.
	if r := h.raw("HEAD", hostA, "/xrpc/com.atproto.sync.getBlob"+params("did", alice.did, "cid", refOf(blob)), nil); r.status != 200 || r.header.Get("Content-Length") != fmt.Sprint(len(onePixel)) {
		t.Error(r.status, r.header)
	}
	to.RawQuery = ""
	if r := get(to.String()); r.status != http.StatusForbidden {
		t.Errorf("without the signature: %d", r.status)
	}
	link := alice.blobFile(refOf(blob)).sentTo().String()
	other := bob.uploaded(onePixel)
	bob.create("app.bsky.feed.post", "", imagePost("x", other)).ok()
	bob.blobFile(refOf(other)).ok()
	alice.notSent(blob)
	if r := get(link); r.status == http.StatusOK { // taken down meanwhile: the bytes were elsewhere, and are again
		t.Errorf("a link given out before a takedown: %d", r.status)
	}
}
