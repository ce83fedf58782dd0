package handlers

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/auroralocus/locus/repo/dagcbor"
)

func photo(t testing.TB, w, h int) []byte {
	t.Helper()
	m := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			m.SetRGBA(x, y, color.RGBA{uint8(x), uint8(y), uint8(x + y), 255})
		}
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func (u *user) variant(preset, cid, suffix string, headers ...string) reply {
	u.t.Helper()
	return u.raw("GET", u.host, "/img/"+preset+"/"+u.did+"/"+cid+suffix, nil, headers...)
}

func TestImageVariants(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice := h.createAccount(hostA, "alice")
	blob := alice.uploaded(photo(t, 1500, 900))
	c := refOf(blob)
	alice.variant("thumbnail", c, "@jpeg").fails(404, "NotFound", "") // temporary
	alice.create("app.bsky.feed.post", rk("p"), imagePost("x", blob)).ok()
	r := alice.variant("thumbnail", c, "@jpeg").ok()
	m, format, err := image.Decode(bytes.NewReader(r.body))
	if err != nil || format != "jpeg" || m.Bounds().Size() != image.Pt(400, 240) {
		t.Errorf("%v %s %v", m.Bounds(), format, err)
	}
	for name, want := range map[string]string{
		"Content-Type": "image/jpeg", "X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'none'; sandbox",
		"Etag": `"` + c + `.thumbnail.jpeg"`, "Cache-Control": blobAge, "Content-Disposition": "", "Content-Encoding": "",
	} {
		if got := r.header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if again := alice.variant("thumbnail", c, "@jpeg").ok(); !bytes.Equal(again.body, r.body) {
		t.Error("another picture")
	}
	if r := alice.variant("thumbnail", c, "@jpeg", "If-None-Match: "+r.header.Get("Etag")); r.status != http.StatusNotModified {
		t.Error(r.status)
	}
	if r := alice.variant("feed", c, "@webp").ok(); r.header.Get("Content-Type") != "image/webp" || string(r.body[8:12]) != "WEBP" {
		t.Error(r.header)
	}
	alice.variant("avatar", c, "").ok()
	if r := alice.variant("avatar", c, "@webp", "Range: bytes=0-3"); r.status != http.StatusPartialContent || string(r.body) != "RIFF" {
		t.Error(r.status, string(r.body))
	}
	if r := alice.variant("avatar", c, "@webp", "Range: lines=0-3"); r.status != http.StatusOK {
		t.Error("an unknown unit of parts:", r.status)
	}
	if r := h.raw("HEAD", alice.host, "/img/avatar/"+alice.did+"/"+c+"@webp", nil); r.status != 200 || len(r.body) != 0 || r.header.Get("Content-Length") == "" {
		t.Error(r.status, r.header)
	}
	for _, bad := range []reply{
		alice.variant("poster", c, "@jpeg"), alice.variant("thumbnail", c, "@png"), alice.variant("thumbnail", "nonsense", "@jpeg"),
		alice.variant("thumbnail", dagcbor.RawCID([]byte("x")).String(), "@jpeg"), h.raw("GET", hostB, "/img/thumbnail/"+alice.did+"/"+c+"@jpeg", nil),
	} {
		bad.fails(404, "NotFound", "")
	}
	text := alice.uploaded([]byte("<svg/>"), "Content-Type: image/svg+xml")
	alice.call("com.atproto.repo.createRecord", obj{"repo": alice.did, "collection": "com.example.file", "rkey": "f", "record": obj{"file": text}}).ok()
	alice.variant("thumbnail", refOf(text), "@jpeg").fails(415, "UnsupportedMediaType", "")

	bomb := alice.uploaded([]byte("\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x01\x86\xa0\x00\x01\x86\xa0\x08\x06\x00\x00\x00\xa8\x52\x0b\xc8"))
	alice.create("app.bsky.feed.post", rk("bomb"), imagePost("x", bomb)).ok()
	alice.variant("feed", refOf(bomb), "@webp").fails(415, "PictureTooLarge", "")

	// A copy that is there is not shown when its picture is not.
	taken := obj{"$type": "com.atproto.admin.defs#repoBlobRef", "did": alice.did, "cid": c}
	h.admin(hostA, "updateSubjectStatus", obj{"subject": taken, "takedown": obj{"applied": true}}).ok()
	alice.variant("thumbnail", c, "@jpeg").fails(404, "NotFound", "")
	alice.variant("thumbnail", c, "@jpeg", "If-None-Match: "+r.header.Get("Etag")).fails(404, "NotFound", "")
	h.admin(hostA, "updateSubjectStatus", obj{"subject": taken, "takedown": obj{"applied": false}}).ok()
	alice.variant("thumbnail", c, "@jpeg").ok()
	alice.setStatus("deactivated_at", time.Now())
	alice.variant("thumbnail", c, "@jpeg").fails(404, "NotFound", "")
	alice.setStatus("deactivated_at", nil)
	alice.variant("thumbnail", c, "@jpeg").ok()
	alice.del("app.bsky.feed.post", rk("p")).ok()
	alice.variant("thumbnail", c, "@jpeg").fails(404, "NotFound", "")
}

func TestImageVariantsOff(t *testing.T) {
	t.Parallel()
	h := newHouseWith(t, houseOptions{settings: map[string]string{"image_variants": "false"}})
	alice := h.createAccount(hostA, "alice")
	blob := alice.uploaded(photo(t, 20, 20))
	alice.create("app.bsky.feed.post", "", imagePost("x", blob)).ok()
	alice.variant("thumbnail", refOf(blob), "@jpeg").fails(404, "NotFound", "")
}

// TestImageVariantsOfAccounts: copies end for everybody with the account, from one request to the next.
func TestImageVariantsOfAccounts(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for i, one := range []struct {
		name  string
		end   func(u *user)
		again func(u *user) // nil: never
	}{
		{"takedown", func(u *user) { h.status(hostA, u.did, true, nil).ok() }, func(u *user) { h.status(hostA, u.did, false, nil).ok() }},
		{"deactivation by the operator", func(u *user) { h.status(hostA, u.did, nil, true).ok() }, func(u *user) { h.status(hostA, u.did, nil, false).ok() }},
		{"deactivation", func(u *user) { u.call("com.atproto.server.deactivateAccount", obj{}).ok() }, func(u *user) { u.call("com.atproto.server.activateAccount", nil).ok() }},
		{"deletion", func(u *user) { h.admin(hostA, "deleteAccount", obj{"did": u.did}).ok() }, nil},
	} {
		u := h.createAccount(hostA, fmt.Sprintf("user%d", i))
		b := u.uploaded(photo(t, 300, 200))
		u.create("app.bsky.feed.post", "", imagePost("x", b)).ok()
		tag := u.variant("avatar", refOf(b), "@webp").ok().header.Get("Etag") // and is kept
		one.end(u)
		for _, headers := range [][]string{nil, {"If-None-Match: " + tag}, {"Range: bytes=0-3"}} {
			r := u.variant("avatar", refOf(b), "@webp", headers...)
			r.fails(404, "NotFound", "")
			if strings.Contains(r.header.Get("Cache-Control"), "public") {
				t.Errorf("%s: %v", one.name, r.header)
			}
		}
		u.variant("feed", refOf(b), "@jpeg").fails(404, "NotFound", "") // nor made now
		if one.again != nil {
			one.again(u)
			u.variant("avatar", refOf(b), "@webp").ok()
		}
	}
}

func TestUploadClearsLocation(t *testing.T) {
	t.Parallel()
	exif := "Exif\x00\x00II*\x00\x08\x00\x00\x00\x01\x00\x25\x88\x04\x00\x01\x00\x00\x00\x1a\x00\x00\x00\x00\x00\x00\x00" +
		"\x01\x00\x02\x00\x05\x00\x03\x00\x00\x00\x2c\x00\x00\x00\x00\x00\x00\x00" + "a place nobody must know"
	plain := photo(t, 30, 30)
	data := append([]byte{}, plain[:2]...)
	data = append(data, 0xff, 0xe1, 0, byte(len(exif)+2))
	data = append(append(data, exif...), plain[2:]...)
	for _, on := range []string{"false", "true"} {
		h := newHouseWith(t, houseOptions{settings: map[string]string{"blob_clear_location": on}})
		alice := h.createAccount(hostA, "alice")
		blob := alice.uploaded(data)
		alice.create("app.bsky.feed.post", "", imagePost("x", blob)).ok()
		got := alice.blobFile(refOf(blob)).ok().body
		if strings.Contains(string(got), "nobody") == (on == "true") || len(got) != len(data) || refOf(blob) != dagcbor.RawCID(got).String() {
			t.Errorf("%s: %d bytes", on, len(got))
		}
	}
}
