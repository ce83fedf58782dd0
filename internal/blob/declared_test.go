package blob

import (
	"strings"
	"testing"
)

// The first bytes of files of every container.
var heads = map[string]string{
	"jpeg": "\xff\xd8\xff\xe0", "png": "\x89PNG\r\n\x1a\n....", "gif": "GIF89a", "webp": "RIFF\x00\x00\x00\x00WEBPVP8 ",
	"zip": "PK\x03\x04\x14\x00\x00\x00", "epub": "PK\x03\x04\x0a\x00\x00\x00\x00\x00mimetypeapplication/epub+zip", "gzip": "\x1f\x8b\x08\x00", "7z": "7z\xbc\xaf\x27\x1c\x00", "zstd": "\x28\xb5\x2f\xfd",
	"tar": strings.Repeat("\x00", 257) + "ustar", "sqlite": "SQLite format 3\x00", "pdf": "%PDF-1.7", "wasm": "\x00asm\x01",
	"xml": `<?xml version="1.0"?><svg/>`, "xml with a mark": "\xef\xbb\xbf<?xml version='1.0'?>", "utf-16": "\xff\xfe<\x00?\x00x\x00m\x00l\x00 \x00",
	"webm": "\x1a\x45\xdf\xa3....\x42\x82\x84webm", "matroska": "\x1a\x45\xdf\xa3....matroska",
	"opus": "OggS" + strings.Repeat("\x00", 24) + "OpusHead.......", "vorbis": "OggS" + strings.Repeat("\x00", 24) + "\x01vorbis........", "theora": "OggS" + strings.Repeat("\x00", 24) + "\x80theora........",
	"isom": "\x00\x00\x00\x20ftypisom", "mp42": "\x00\x00\x00\x20ftypmp42", "m4a": "\x00\x00\x00\x20ftypM4A ", "m4v": "\x00\x00\x00\x20ftypM4V ", "mov": "\x00\x00\x00\x14ftypqt  ", "3gp": "\x00\x00\x00\x14ftyp3gp5",
	"heic": "\x00\x00\x00\x20ftypheic", "mif1": "\x00\x00\x00\x20ftypmif1", "avif": "\x00\x00\x00\x20ftypavif",
	"wave": "RIFF\x00\x00\x00\x00WAVEfmt ", "id3": "ID3\x04", "mp3": "\xff\xfb\x90", "aac": "\xff\xf1\x50", "flac": "fLaC", "tiff": "II*\x00", "midi": "MThd",
	"text": "words, more words", "html": "<!doctype html><script>alert(1)</script>", "svg": "<svg onload=alert(1)>", "script": "alert(1)", "json": `{"a":1}`, "BMW": "BMW drives", "nothing": "",
}

func TestTypeOf(t *testing.T) {
	for _, c := range []struct{ head, declared, want string }{
		// A container tells less than the one who sends it.
		{"epub", "application/epub+zip", "application/epub+zip"},
		{"zip", "application/vnd.openxmlformats-officedocument.wordprocessingml.document", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"},
		{"zip", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"},
		{"zip", "application/vnd.openxmlformats-officedocument.presentationml.presentation", "application/vnd.openxmlformats-officedocument.presentationml.presentation"},
		{"zip", "application/vnd.oasis.opendocument.text", "application/vnd.oasis.opendocument.text"},
		{"zip", "application/java-archive", "application/java-archive"},
		{"zip", "application/vnd.android.package-archive", "application/vnd.android.package-archive"},
		{"zip", "application/vnd.comicbook+zip", "application/vnd.comicbook+zip"},
		{"zip", "model/3mf", "model/3mf"},
		{"zip", "application/zip", "application/zip"},
		{"zip", "", "application/zip"},
		{"zip", "image/png", "application/zip"},
		{"zip", "application/pdf", "application/zip"},
		{"zip", "application/gzip", "application/zip"},
		{"zip", "application/x-gtar", "application/zip"},
		{"zip", "application/json", "application/zip"},
		{"zip", "application/xhtml+xml", "application/zip"},
		{"zip", "application/javascript", "application/zip"},
		{"zip", "text/html", "application/zip"},
		{"xml", "image/svg+xml", "image/svg+xml"},
		{"xml with a mark", "image/svg+xml", "image/svg+xml"},
		{"utf-16", "image/svg+xml", "image/svg+xml"},
		{"utf-16", "", "application/xml"},
		{"xml", "application/rss+xml", "application/rss+xml"},
		{"xml", "application/atom+xml", "application/atom+xml"},
		{"xml", "application/xhtml+xml", "application/xhtml+xml"},
		{"xml", "application/gpx+xml", "application/gpx+xml"},
		{"xml", "application/x-fictionbook", "application/x-fictionbook"},
		{"xml", "text/xml", "text/xml"},
		{"xml", "text/html", "text/html"},
		{"xml", "text/plain", "text/plain"},
		{"xml", "", "application/xml"},
		{"xml", "application/json", "application/xml"},
		{"xml", "text/javascript", "application/xml"},
		{"xml", "image/png", "application/xml"},
		{"xml", "audio/ogg", "application/xml"},
		{"webm", "audio/webm", "audio/webm"},
		{"webm", "audio/webm;codecs=opus", "audio/webm"},
		{"webm", "video/webm", "video/webm"},
		{"webm", "video/x-matroska", "video/x-matroska"},
		{"webm", "video/mp4", "video/webm"},
		{"webm", "", "video/webm"},
		{"matroska", "audio/x-matroska", "audio/x-matroska"},
		{"matroska", "video/webm", "video/x-matroska"},
		{"opus", "audio/ogg; codecs=opus", "audio/ogg"},
		{"opus", "audio/opus", "audio/opus"},
		{"opus", "application/ogg", "application/ogg"},
		{"vorbis", "video/ogg", "video/ogg"},
		{"vorbis", "", "audio/ogg"},
		{"theora", "audio/ogg", "video/ogg"},
		{"theora", "application/ogg", "application/ogg"},
		{"isom", "video/mp4", "video/mp4"},
		{"isom", "audio/mp4", "audio/mp4"},
		{"mp42", "audio/x-m4a", "audio/x-m4a"},
		{"isom", "video/quicktime", "video/quicktime"},
		{"isom", "image/heic", "video/mp4"},
		{"isom", "", "video/mp4"},
		{"m4a", "audio/mp4", "audio/mp4"},
		{"m4a", "audio/x-m4a", "audio/x-m4a"},
		{"m4a", "video/mp4", "audio/x-m4a"},
		{"m4v", "video/mp4", "video/mp4"},
		{"mov", "video/mp4", "video/quicktime"},
		{"mov", "video/quicktime", "video/quicktime"},
		{"3gp", "audio/3gpp", "audio/3gpp"},
		{"heic", "image/heif", "image/heif"},
		{"heic", "image/jpeg", "image/heic"},
		{"mif1", "image/heic", "image/heic"},
		{"mif1", "image/avif", "image/avif"},
		{"avif", "image/avif", "image/avif"},
		{"avif", "image/heic", "image/avif"},
		{"gzip", "application/x-tgz", "application/x-tgz"},
		{"gzip", "application/x-gzip", "application/x-gzip"},
		{"gzip", "application/vnd.tcpdump.pcap", "application/vnd.tcpdump.pcap"},
		{"gzip", "text/html", "application/gzip"},
		{"gzip", "image/svg+xml", "application/gzip"},
		{"tar", "application/x-gtar", "application/x-gtar"},
		{"sqlite", "application/geopackage+sqlite3", "application/geopackage+sqlite3"},
		{"7z", "application/x-cb7", "application/x-cb7"},
		{"pdf", "application/illustrator", "application/illustrator"},
		{"pdf", "application/vnd.unknown", "application/pdf"},
		{"wasm", "application/octet-stream", "application/wasm"},
		{"wave", "audio/wav", "audio/wav"},
		{"id3", "audio/aac", "audio/aac"},
		{"mp3", "audio/mp3", "audio/mp3"},
		{"mp3", "audio/aac", "audio/mpeg"},
		{"flac", "audio/flac", "audio/flac"},
		{"tiff", "image/x-adobe-dng", "image/x-adobe-dng"},
		{"tiff", "image/webp", "image/tiff"},
		{"tiff", "image/svg+xml", "image/tiff"},
		// A type's own signature leaves nothing to say.
		{"jpeg", "image/jpg", "image/jpeg"},
		{"png", "image/jpeg", "image/png"},
		{"png", "image/apng", "image/apng"},
		{"png", "text/html", "image/png"},
		{"gif", "text/javascript", "image/gif"},
		{"webp", "image/png", "image/webp"},
		// What says nothing: absent, any, some of a kind, bytes, nonsense.
		{"png", "*/*", "image/png"},
		{"png", "image/*", "image/png"},
		{"png", "application/octet-stream", "image/png"},
		{"zip", "application/octet-stream", "application/zip"},
		{"text", "", "application/octet-stream"},
		{"text", "*/*", "application/octet-stream"},
		{"text", "text/*", "application/octet-stream"},
		{"text", "nonsense", "application/octet-stream"},
		{"text", "a/b\r\nX: y", "application/octet-stream"},
		{"text", "a/" + strings.Repeat("b", 200), "application/octet-stream"},
		{"nothing", "", "application/octet-stream"},
		// Text is what is said of it. Capitals and parameters are not the type's.
		{"text", "text/csv", "text/csv"},
		{"text", "Text/Markdown; Charset=UTF-8; variant=GFM", "text/markdown"},
		{"text", "text/vtt", "text/vtt"},
		{"json", "application/ld+json", "application/ld+json"},
		{"json", "APPLICATION/JSON", "application/json"},
		{"EPUB", "Application/EPUB+zip", "application/epub+zip"},
		{"svg", "image/svg+xml", "image/svg+xml"},
		{"html", "text/html", "text/html"},
		{"BMW", "text/x-test", "text/x-test"},
	} {
		if got := typeOf([]byte(heads[strings.ToLower(c.head)]+heads[c.head]), c.declared); got != c.want {
			t.Errorf("%s declared as %q is %q, want %q", c.head, c.declared, got, c.want)
		}
	}
}

// No file becomes a script by its declared type, whatever the bytes are, and what is one is served as text.
func TestScriptsAreServedAsText(t *testing.T) {
	for _, script := range scripts {
		for name, head := range heads {
			got := Info{MimeType: typeOf([]byte(head), script)}
			if served := got.ServedAs(); served == script || sniff([]byte(head)) != "" && got.MimeType == script {
				t.Errorf("%s declared as %s is %s and served as %s", name, script, got.MimeType, served)
			}
		}
	}
	for mime, want := range map[string]string{"TEXT/JAVASCRIPT": "text/plain; charset=utf-8", "image/png": "image/png", "not a type": "application/octet-stream", "": "application/octet-stream"} {
		if got := (Info{MimeType: mime}).ServedAs(); got != want {
			t.Errorf("%q is served as %q", mime, got)
		}
	}
}

// The table says nothing twice and nothing that cannot be.
func TestForms(t *testing.T) {
	used := map[string]bool{"webm": true, "matroska": true, "ogg video": true, "mp4": true, "3gp": true, "3g2": true, "wave": true, "avi": true, "bmp": true, "mp2t": true}
	for _, m := range magic {
		used[m.form] = true
	}
	for _, b := range brands {
		used[b] = true
	}
	for name, f := range forms {
		if !used[name] {
			t.Errorf("nothing is of the form %s", name)
		}
		seen := map[string]bool{f.mime: true}
		for _, p := range f.may {
			if seen[p] || strings.Count(p, "/") != 1 || p != strings.ToLower(p) {
				t.Errorf("%s: %s", name, p)
			}
			seen[p] = true
		}
	}
	for _, m := range magic {
		if forms[m.form].mime == "" && !strings.Contains(m.form, "/") {
			t.Errorf("%s is in no table", m.form)
		}
	}
}
