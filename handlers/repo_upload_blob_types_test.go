package handlers

import (
	"strings"
	"testing"
)

// A record may name the type that its file was declared with, where the bytes only show a container; and no file is given
// out as something that a browser runs.
func TestUploadBlobDeclared(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice := h.createAccount(hostA, "alice")
	for _, c := range []struct{ data, declared, want, served string }{
		{"PK\x03\x04 a book", "application/epub+zip", "application/epub+zip", "application/epub+zip"},
		{`<?xml version="1.0"?><svg onload="alert(1)"/>`, "image/svg+xml", "image/svg+xml", "image/svg+xml"},
		{"\x1a\x45\xdf\xa3....\x42\x82\x84webm speech", "Audio/WebM; codecs=opus", "audio/webm", "audio/webm"},
		{"\x00\x00\x00\x20ftypmp42 a song", "audio/mp4", "audio/mp4", "audio/mp4"},
		{"\x89PNG\r\n\x1a\n a picture", "text/html", "image/png", "image/png"},
		{"PK\x03\x04 a program", "text/javascript", "application/zip", "application/zip"},
		{"<script>alert(1)</script>", "text/html", "text/html", "text/html"},
		{"alert(1)", "Text/JavaScript", "text/javascript", "text/plain; charset=utf-8"},
		{"alert(2)", "application/javascript", "application/javascript", "text/plain; charset=utf-8"},
		{"a { background: url(x) }", "text/css", "text/css", "text/plain; charset=utf-8"},
	} {
		b := alice.uploaded([]byte(c.data), "Content-Type: "+c.declared)
		if b["mimeType"] != c.want {
			t.Errorf("%q as %s: %v", c.data, c.declared, b)
		}
		b["mimeType"] = c.want // what a client says that does not look at the answer
		alice.create("com.example.file", "", obj{"file": b}).ok()
		r := alice.blobFile(refOf(b)).ok()
		if got := r.header; got.Get("Content-Type") != c.served || got.Get("X-Content-Type-Options") != "nosniff" ||
			got.Get("Content-Security-Policy") != "default-src 'none'; sandbox" || !strings.HasPrefix(got.Get("Content-Disposition"), "attachment;") {
			t.Errorf("%q as %s: %v", c.data, c.declared, got)
		}
	}
	h.check()
}
