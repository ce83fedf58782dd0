package handlers

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/auroralocus/locus/repo/dagcbor"
)

// onePixel is a PNG.
var onePixel = mustBase64("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")

func mustBase64(s string) []byte {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

// upload sends bytes as the user.
func (u *user) upload(data any, headers ...string) reply {
	u.t.Helper()
	return u.raw("POST", u.host, "/xrpc/com.atproto.repo.uploadBlob", data, append([]string{bearer(u.access), "Content-Type: application/octet-stream"}, headers...)...)
}

// uploaded uploads and gives the reference as a record holds it.
func (u *user) uploaded(data []byte, headers ...string) obj {
	u.t.Helper()
	return u.upload(data, headers...).ok().at("blob").(obj)
}

func refOf(blob obj) string { return blob["ref"].(obj)["$link"].(string) }

// blobFile gets a blob.
func (u *user) blobFile(cid string, headers ...string) reply {
	u.t.Helper()
	return u.raw("GET", u.host, "/xrpc/com.atproto.sync.getBlob"+params("did", u.did, "cid", cid), nil, headers...)
}

// imagePost is a post with pictures.
func imagePost(text string, blobs ...obj) obj {
	images := list{}
	for _, b := range blobs {
		images = append(images, obj{"image": b, "alt": text})
	}
	p := postRecord(text)
	p["embed"] = obj{"$type": "app.bsky.embed.images", "images": images}
	return p
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return b
}

// png makes a file that begins as a PNG does.
func png(n int) []byte { return append(bytes.Clone(onePixel), randomBytes(n)...) }

// rk makes a record key of the form that posts have of a short name.
func rk(name string) string {
	name = strings.NewReplacer("0", "5", "1", "6").Replace(name)
	if len(name) > 10 {
		name = name[:10]
	}
	return "3k2" + name + strings.Repeat("2", 10-len(name))
}

// files counts what is in the store's folder, but for its journal, which has no end of its own. An upload's mark goes
// when its client has heard already.
func (h *house) files() (n int) {
	h.t.Helper()
	for range 200 {
		n = 0
		marks := 0
		err := filepath.WalkDir(h.blobDir, func(_ string, e os.DirEntry, err error) error {
			if err == nil && !e.IsDir() && !strings.HasPrefix(e.Name(), "journal-") && !strings.HasPrefix(e.Name(), ".locus-place-") {
				n++
				if strings.Contains(e.Name(), ",") {
					marks++
				}
			}
			return nil
		})
		if err != nil {
			h.t.Fatal(err)
		}
		if marks == 0 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	return n
}

func (u *user) count(sql string) int64 {
	u.t.Helper()
	return query64(u.t, u.url, strings.ReplaceAll(sql, "pds.", u.tenant().Schema.String()+"."))[0]
}

func (u *user) emptyTrash() {
	u.t.Helper()
	if _, err := u.blobs.EmptyTrash(u.t.Context(), u.tenant().Schema); err != nil {
		u.t.Fatal(err)
	}
}

func TestUploadBlob(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice := h.createAccount(hostA, "alice")
	blob := alice.uploaded(onePixel, "Content-Type: text/plain")
	if refOf(blob) != dagcbor.RawCID(onePixel).String() || blob["mimeType"] != "image/png" || blob["$type"] != "blob" {
		t.Error(blob)
	}
	if b := alice.uploaded([]byte("<svg onload=alert(1)>"), "Content-Type: image/svg+xml; charset=x"); b["mimeType"] != "image/svg+xml" {
		t.Error(b)
	}
	if b := alice.uploaded([]byte("who knows"), "Content-Type: nonsense"); b["mimeType"] != "application/octet-stream" {
		t.Error(b)
	}
	// Temporary: not to be seen.
	alice.blobFile(refOf(blob)).fails(400, "BlobNotFound", "Blob not found")
	h.get(hostA, "com.atproto.sync.listBlobs", "", "did", alice.did).ok()

	uri := alice.create("app.bsky.feed.post", "", imagePost("look", blob)).ok().str("uri")
	h.check()
	r := alice.blobFile(refOf(blob)).ok()
	if !bytes.Equal(r.body, onePixel) {
		t.Errorf("%q", r.body)
	}
	for name, want := range map[string]string{
		"Content-Type": "image/png", "Content-Length": strconv.Itoa(len(onePixel)), "X-Content-Type-Options": "nosniff",
		"Content-Disposition":     `attachment; filename="` + refOf(blob) + `"`,
		"Content-Security-Policy": "default-src 'none'; sandbox", "Etag": `"` + refOf(blob) + `"`,
		"Cache-Control": blobAge, "Accept-Ranges": "bytes",
	} {
		if got := r.header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if r := alice.blobFile(refOf(blob), `If-None-Match: "`+refOf(blob)+`"`); r.status != http.StatusNotModified || len(r.body) != 0 {
		t.Error(r.status)
	}
	if r := alice.blobFile(refOf(blob), "Range: bytes=1-3"); r.status != http.StatusPartialContent || string(r.body) != "PNG" || r.header.Get("Content-Range") == "" {
		t.Error(r.status, string(r.body))
	}
	if r := alice.blobFile(refOf(blob), "Range: bytes=1000-"); r.status != http.StatusRequestedRangeNotSatisfiable {
		t.Error(r.status)
	}
	if r := h.raw("HEAD", hostA, "/xrpc/com.atproto.sync.getBlob"+params("did", alice.did, "cid", refOf(blob)), nil); r.status != 200 || len(r.body) != 0 || r.header.Get("Content-Length") != strconv.Itoa(len(onePixel)) {
		t.Error(r.status, r.header)
	}
	if r := alice.blobFile(refOf(blob), bearer(alice.access)); r.header.Get("Cache-Control") != "private" {
		t.Error(r.header)
	}
	// The other tenant has nothing of it, nor has another account.
	h.get(hostB, "com.atproto.sync.getBlob", "", "did", alice.did, "cid", refOf(blob)).fails(400, "RepoNotFound", "")
	bob := h.createAccount(hostA, "bob")
	bob.blobFile(refOf(blob)).fails(400, "BlobNotFound", "")
	r = bob.create("app.bsky.feed.post", "", imagePost("stolen", blob))
	r.fails(400, "BlobNotFound", "Could not find blob: "+refOf(blob))
	if got := r.str("message"); got != "Could not find blob: "+refOf(blob) {
		t.Error(got)
	}

	if got := h.get(hostA, "com.atproto.sync.listBlobs", "", "did", alice.did).ok().at("cids").(list); len(got) != 1 || got[0] != refOf(blob) {
		t.Error(got)
	}
	_, rev := alice.head()
	if got := h.get(hostA, "com.atproto.sync.listBlobs", "", "did", alice.did, "since", rev).ok().at("cids").(list); len(got) != 0 {
		t.Error(got)
	}
	// Pages, and files that are a picture to one and a page to another, stay files.
	for data, want := range map[string]string{"<script>alert(1)</script>": "text/html", "GIF89a/*<script>*/=1;alert(1)": "image/gif", "%PDF-1.4 <html>": "application/pdf"} {
		b := alice.uploaded([]byte(data), "Content-Type: text/html")
		alice.call("com.atproto.repo.createRecord", obj{"repo": alice.did, "collection": "com.example.file", "record": obj{"file": b}}).ok()
		h := alice.blobFile(refOf(b)).ok().header
		if h.Get("Content-Type") != want || h.Get("Content-Security-Policy") != "default-src 'none'; sandbox" || h.Get("X-Content-Type-Options") != "nosniff" || !strings.HasPrefix(h.Get("Content-Disposition"), "attachment;") {
			t.Errorf("%q: %v", data, h)
		}
	}
	// The last reference gone, the blob goes: its row at once, its bytes from the trash.
	alice.del("app.bsky.feed.post", rkeyOf(uri)).ok()
	h.check()
	alice.blobFile(refOf(blob)).fails(400, "BlobNotFound", "")
	before := h.files()
	alice.emptyTrash()
	if h.files() != before-1 {
		t.Errorf("%d files, then %d", before, h.files())
	}
}

func TestUploadBlobAgain(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice := h.createAccount(hostA, "alice")
	data := png(100)
	blob := alice.uploaded(data)
	// The same bytes: the same blob, one file; the temporary one begins its time again.
	h.clock.add(20 * time.Hour)
	alice.signIn()
	if again := alice.uploaded(data, "Content-Type: text/html"); refOf(again) != refOf(blob) || again["mimeType"] != "image/png" {
		t.Error(again)
	}
	// Bytes that do not tell their type have the one that was said last, as long as no record says otherwise.
	words := []byte("WEBVTT, or is it?")
	for _, said := range []string{"application/octet-stream", "text/plain", "text/vtt"} {
		if b := alice.uploaded(words, "Content-Type: "+said); b["mimeType"] != said {
			t.Errorf("%s: %v", said, b)
		}
	}
	said := alice.uploaded(words, "Content-Type: text/vtt")
	alice.call("com.atproto.repo.createRecord", obj{"repo": alice.did, "collection": custom, "rkey": "words", "record": obj{"file": said}}).ok()
	if b := alice.uploaded(words, "Content-Type: text/plain"); b["mimeType"] != "text/vtt" {
		t.Error(b)
	}
	alice.del(custom, "words").ok()
	alice.emptyTrash()
	expire := func() {
		t.Helper()
		if err := h.blobs.Expire(t.Context(), h.a.Schema, 24*time.Hour); err != nil {
			t.Fatal(err)
		}
		alice.emptyTrash()
	}
	h.clock.add(10 * time.Hour)
	alice.signIn()
	expire()
	if h.files() != 1 {
		t.Errorf("%d files", h.files())
	}
	alice.create("app.bsky.feed.post", rk("p"), imagePost("x", blob)).ok()
	h.clock.add(1000 * time.Hour)
	alice.signIn()
	expire()
	alice.blobFile(refOf(blob)).ok()
	if again := alice.uploaded(data); refOf(again) != refOf(blob) || h.files() != 1 {
		t.Error(again, h.files())
	}
	// A blob whose last reference went can be uploaded again at once; the deletion hits the old object only.
	alice.del("app.bsky.feed.post", rk("p")).ok()
	alice.uploaded(data)
	if h.files() != 2 {
		t.Errorf("%d files", h.files())
	}
	alice.emptyTrash()
	alice.create("app.bsky.feed.post", rk("p"), imagePost("x", blob)).ok()
	if r := alice.blobFile(refOf(blob)).ok(); !bytes.Equal(r.body, data) || h.files() != 1 {
		t.Error("lost", h.files())
	}
	// What no record came for goes.
	other := alice.uploaded(png(1))
	h.clock.add(25 * time.Hour)
	alice.signIn()
	expire()
	if h.files() != 1 {
		t.Errorf("%d files", h.files())
	}
	alice.create("app.bsky.feed.post", "", imagePost("late", other)).fails(400, "BlobNotFound", "")
	alice.usageIsTrue()
	h.check()
}

// signIn gets a new session after the clock was moved.
func (u *user) signIn() {
	u.t.Helper()
	r := u.post(u.host, "com.atproto.server.createSession", "", obj{"identifier": u.did, "password": userPassword}).ok()
	u.access, u.refresh = r.str("accessJwt"), r.str("refreshJwt")
}

// TestUploadBlobLate is an account that moves here: records first, then blobs.
func TestUploadBlobLate(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice := h.createAccount(hostA, "alice")
	data := []byte("GIF89a but the old server said otherwise")
	c := dagcbor.RawCID(data)
	aid := alice.count("SELECT aid FROM pds.actor WHERE did = '" + alice.did + "'")
	h.exec(h.a, "INSERT INTO pds.record_blob (aid, cid, path, rev, mime_type) VALUES ($1, $2, 'app.bsky.feed.post/old', 5, 'image/webp')", aid, c.Bytes())
	missing := alice.ask("com.atproto.repo.listMissingBlobs").ok()
	if got := missing.at("blobs").(list); len(got) != 1 || got[0].(obj)["cid"] != c.String() || got[0].(obj)["recordUri"] != "at://"+alice.did+"/app.bsky.feed.post/old" {
		t.Error(got)
	}
	if b := alice.uploaded(data); b["mimeType"] != "image/webp" { // as the records that are there say
		t.Error(b)
	}
	status := alice.ask("com.atproto.server.checkAccountStatus").ok().json()
	for name, want := range map[string]string{"expectedBlobs": "1", "importedBlobs": "1", "blobBytes": strconv.Itoa(len(data)), "blobLimit": "0"} {
		if got := status[name]; fmt.Sprint(got) != want {
			t.Errorf("%s: %v", name, got)
		}
	}
	if got := alice.ask("com.atproto.repo.listMissingBlobs").ok().at("blobs").(list); len(got) != 0 {
		t.Error(got)
	}
	if r := alice.blobFile(c.String()).ok(); r.header.Get("Content-Type") != "image/webp" {
		t.Error(r.header)
	}
}

func TestUploadBlobBad(t *testing.T) {
	t.Parallel()
	h := newHouseWith(t, houseOptions{settings: map[string]string{"blob_upload_limit": "100000"}})
	alice := h.createAccount(hostA, "alice")
	h.raw("POST", hostA, "/xrpc/com.atproto.repo.uploadBlob", "x").fails(401, "AuthMissing", "")
	alice.upload([]byte{}).fails(400, "InvalidRequest", "body is expected")
	alice.upload(png(100001)).fails(413, "PayloadTooLarge", "")
	alice.upload(io.MultiReader(bytes.NewReader(png(100001)))).fails(413, "PayloadTooLarge", "") // no length told
	alice.upload(randomBytes(100000)).ok()
	alice.upload("x", "Content-Encoding: rot13").fails(415, "UnsupportedMediaType", "")

	packed := func(data []byte) []byte {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		_, _ = w.Write(data)
		_ = w.Close()
		return b.Bytes()
	}
	data := []byte(strings.Repeat("words ", 1000))
	if b := alice.uploaded(packed(data), "Content-Encoding: gzip"); refOf(b) != dagcbor.RawCID(data).String() {
		t.Error(b)
	}
	bomb := packed(make([]byte, 50<<20))
	alice.upload(bomb, "Content-Encoding: gzip").fails(413, "PayloadTooLarge", "")
	alice.upload(packed(bomb), "Content-Encoding: gzip, gzip").fails(413, "PayloadTooLarge", "")
	alice.upload(packed(data)[:40], "Content-Encoding: gzip").fails(400, "InvalidRequest", "decoded")
	alice.upload([]byte("not gzip"), "Content-Encoding: gzip").fails(400, "InvalidRequest", "decoded")

	// A client that goes away, and one that promises more than it sends.
	for _, more := range []string{"900", "99999"} {
		conn, err := net.Dial("tcp", h.http.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(conn, "POST /xrpc/com.atproto.repo.uploadBlob HTTP/1.1\r\nHost: a.test\r\nAuthorization: Bearer "+alice.access+"\r\nContent-Type: a/b\r\nContent-Length: "+more+"\r\n\r\nhalf")
		_ = conn.Close()
	}
	// The server may not have begun with them yet: two files for a while.
	deadline, n := time.Now().Add(time.Minute), 0
	for calm := 0; calm < 20 && time.Now().Before(deadline); calm++ {
		if n = h.files(); n != 2 {
			calm = -1
		}
		time.Sleep(10 * time.Millisecond)
	}
	if n != 2 {
		t.Errorf("%d files", n)
	}
	if n := alice.count("SELECT count(*) FROM pds.blob"); n != 2 {
		t.Errorf("%d rows", n)
	}
	alice.usageIsTrue()
}

func TestBlobQuota(t *testing.T) {
	t.Parallel()
	h := newHouseWith(t, houseOptions{settings: map[string]string{"blob_account_limit": "1000"}})
	alice := h.createAccount(hostA, "alice")
	alice.upload(randomBytes(600)).ok()
	alice.upload(randomBytes(500)).fails(400, "BlobQuotaExceeded", "600 of 1000 bytes")
	blob := alice.uploaded(randomBytes(400))
	alice.upload(randomBytes(1)).fails(400, "BlobQuotaExceeded", "1000 of 1000")
	// What is deleted makes room.
	alice.call("com.atproto.repo.createRecord", obj{"repo": alice.did, "collection": "com.example.file", "rkey": "f", "record": obj{"file": blob}}).ok()
	alice.del("com.example.file", "f").ok()
	alice.upload(randomBytes(400)).ok()
	// At once: exactly what fits.
	bob := h.createAccount(hostA, "bob")
	oks := make(chan int, 20)
	for range 20 {
		go func() {
			r, err := h.try("POST", hostA, "/xrpc/com.atproto.repo.uploadBlob", randomBytes(100), bearer(bob.access))
			if err != nil {
				t.Error(err)
			}
			oks <- r.status
		}()
	}
	got := map[int]int{}
	for range 20 {
		got[<-oks]++
	}
	if got[200] != 10 || got[400] != 10 {
		t.Errorf("answers %v", got)
	}
	h.exec(h.a, "UPDATE pds.blob_usage SET max_bytes = 0")
	alice.upload(randomBytes(5000)).ok()
	h.set(hostA, "blob_tenant_limit", "8000")
	h.log.allowed.Store(true) // 507
	alice.upload(randomBytes(3000)).fails(507, "InsufficientStorage", "")
	alice.upload(randomBytes(300)).ok()
	alice.usageIsTrue()
}

func TestBlobsOfInactiveAccounts(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice := h.createAccount(hostA, "alice")
	blob := alice.uploaded(onePixel)
	alice.create("app.bsky.feed.post", rk("p"), imagePost("x", blob)).ok()
	alice.setStatus("deactivated_at", time.Now())
	alice.blobFile(refOf(blob)).fails(400, "RepoDeactivated", "")
	alice.blobFile(refOf(blob), bearer(alice.access)).ok()
	alice.upload(onePixel).ok()
	alice.setStatus("deactivated_at", nil)
	alice.setStatus("takedown_ref", "x")
	alice.blobFile(refOf(blob)).fails(400, "RepoTakendown", "")
	alice.blobFile(refOf(blob), asAdmin()).ok()
	alice.upload(onePixel).fails(401, "AccountTakedown", "")
	alice.setStatus("takedown_ref", nil)

	// A blob that is taken down: not served, not listed, not for new records, not uploaded again; back when restored.
	c := dagcbor.RawCID(onePixel)
	take := func(ref *string) {
		t.Helper()
		aid := alice.count("SELECT aid FROM pds.actor WHERE did = '" + alice.did + "'")
		found, err := h.blobs.SetTakedown(context.WithoutCancel(t.Context()), h.a.Schema, aid, c, ref)
		if err != nil || !found {
			t.Fatal(found, err)
		}
	}
	take(new("bad"))
	alice.blobFile(refOf(blob)).fails(400, "BlobNotFound", "")
	if got := h.get(hostA, "com.atproto.sync.listBlobs", "", "did", alice.did).ok().at("cids").(list); len(got) != 0 {
		t.Error(got)
	}
	alice.create("app.bsky.feed.post", "", imagePost("again", blob)).fails(400, "BlobNotFound", "")
	alice.upload(onePixel).fails(400, "InvalidRequest", "Blob has been takendown, cannot re-upload")
	alice.del("app.bsky.feed.post", rk("p")).ok()
	alice.upload(onePixel).fails(400, "InvalidRequest", "Blob has been takendown, cannot re-upload")
	take(nil)
	alice.create("app.bsky.feed.post", rk("p"), imagePost("x", blob)).ok()
	alice.blobFile(refOf(blob)).ok()
	h.check()
	alice.usageIsTrue()
}
