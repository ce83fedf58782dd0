package blob

import (
	"mime"
	"path"
	"slices"
	"strings"
)

// form is what the first bytes of a file show: a type, or a container that files of many types are in.
type form struct {
	mime string   // the type, if the client says nothing better
	may  []string // what the client may say instead, in patterns
}

// forms is the table of what a declared type may make of a signature. A form that is not in it is a type, and what is
// said of it does not matter. A pattern with a star is for types that nothing else is known of: none that has a signature
// of its own, or is text. A type without a star stands as it is.
var forms = map[string]form{
	"zip": {"application/zip", []string{
		"application/*", "*/*+zip", "model/*", "image/openraster", "image/x-krita",
		"application/x-zip-compressed", "application/zip-compressed", "application/vnd.ms-package.3dmanufacturing-3dmodel+xml",
	}},
	"xml": {"application/xml", []string{
		"text/xml", "text/html", "text/plain", "*/*+xml", "application/*", "application/xml-dtd", "application/xml-external-parsed-entity", "text/x-opml", "text/x-*", "text/vnd.*",
	}},
	"gzip": {"application/gzip", []string{
		"application/*", "*/*+gzip", "model/*", "application/x-gzip", "application/x-tgz", "application/x-gtar-compressed", "application/x-compressed-tar", "image/svg+xml-compressed",
	}},
	"tar":    {"application/x-tar", []string{"application/*", "application/tar", "application/x-gtar", "application/x-ustar"}},
	"7z":     {"application/x-7z-compressed", []string{"application/*"}},
	"rar":    {"application/x-rar-compressed", []string{"application/*", "application/vnd.rar", "application/x-rar", "application/rar"}},
	"zstd":   {"application/zstd", []string{"application/*", "*/*+zstd", "application/x-zstd"}},
	"bzip2":  {"application/x-bzip2", []string{"application/*", "application/bzip2", "application/x-bzip"}},
	"xz":     {"application/x-xz", []string{"application/*", "application/xz"}},
	"sqlite": {"application/x-sqlite3", []string{"application/*", "*/*+sqlite3", "application/vnd.sqlite3"}},
	"pdf":    {"application/pdf", []string{"application/x-pdf", "application/illustrator", "application/vnd.adobe.illustrator"}},
	"gltf":   {"model/gltf-binary", []string{"model/*"}},

	// EBML.
	"webm":     {"video/webm", []string{"audio/webm", "video/x-matroska", "audio/x-matroska", "video/matroska", "audio/matroska"}},
	"matroska": {"video/x-matroska", []string{"audio/x-matroska", "video/matroska", "audio/matroska", "video/matroska-3d", "application/x-matroska"}},

	// Ogg. What the first stream is does not tell whether there is a film in a second.
	"ogg":       {"audio/ogg", []string{"video/ogg", "application/ogg", "audio/opus", "audio/vorbis", "audio/speex", "audio/x-ogg"}},
	"ogg video": {"video/ogg", []string{"application/ogg"}},

	// ISO base media files; which depends on the brand.
	"mp4": {"video/mp4", []string{
		"audio/mp4", "application/mp4", "audio/m4a", "audio/x-m4a", "audio/x-m4b", "audio/mp4a-latm", "video/x-m4v", "video/m4v", "video/quicktime",
		"video/3gpp", "audio/3gpp", "video/3gpp2", "audio/3gpp2", "video/iso.segment", "video/mj2",
	}},
	"m4a":         {"audio/x-m4a", []string{"audio/mp4", "audio/m4a", "audio/x-m4b", "audio/mp4a-latm", "application/mp4"}},
	"m4b":         {"audio/mp4", []string{"audio/x-m4b", "audio/m4b", "audio/x-m4a", "audio/m4a", "application/mp4"}},
	"m4v":         {"video/x-m4v", []string{"video/mp4", "video/m4v", "application/mp4"}},
	"3gp":         {"video/3gpp", []string{"audio/3gpp", "video/mp4", "audio/mp4"}},
	"3g2":         {"video/3gpp2", []string{"audio/3gpp2", "video/mp4", "audio/mp4"}},
	"heif":        {"image/heif", []string{"image/heic", "image/avif", "image/heif-sequence", "image/heic-sequence", "image/avif-sequence"}},
	"heic":        {"image/heic", []string{"image/heif"}},
	"avif":        {"image/avif", []string{"image/avif-sequence"}},
	"heif series": {"image/heif-sequence", []string{"image/heic-sequence", "image/avif-sequence", "image/heif", "image/heic", "image/avif"}},
	"heic series": {"image/heic-sequence", []string{"image/heif-sequence", "image/heic", "image/heif"}},

	// Pictures that others are made of.
	"png":  {"image/png", []string{"image/apng", "image/vnd.mozilla.apng"}},
	"tiff": {"image/tiff", []string{"image/*"}}, // a camera's raw picture
	"ico":  {"image/x-icon", []string{"image/vnd.microsoft.icon", "image/ico"}},
	"bmp":  {"image/bmp", []string{"image/x-ms-bmp", "image/x-bmp"}},
	"psd":  {"image/vnd.adobe.photoshop", []string{"image/x-photoshop", "application/x-photoshop", "application/photoshop"}},
	"jp2":  {"image/jp2", []string{"image/jpx", "image/jpm", "video/mj2"}},

	// One format, several names; a tag (ID3) that stands before any.
	"id3":  {"audio/mpeg", []string{"audio/mp3", "audio/x-mp3", "audio/mpeg3", "audio/x-mpeg", "audio/mpa", "audio/aac", "audio/aacp", "audio/x-aac", "audio/flac", "audio/x-flac", "audio/aiff", "audio/x-aiff"}},
	"mpa":  {"audio/mpeg", []string{"audio/mp3", "audio/x-mp3", "audio/mpeg3", "audio/x-mpeg", "audio/mpa"}},
	"adts": {"audio/aac", []string{"audio/aacp", "audio/x-aac", "audio/x-hx-aac-adts"}},
	"flac": {"audio/x-flac", []string{"audio/flac"}},
	"wave": {"audio/vnd.wave", []string{"audio/wav", "audio/wave", "audio/x-wav", "audio/x-pn-wav"}},
	"midi": {"audio/midi", []string{"audio/x-midi", "audio/mid", "audio/sp-midi"}},
	"avi":  {"video/vnd.avi", []string{"video/avi", "video/msvideo", "video/x-msvideo"}},
	"flv":  {"video/x-flv", []string{"video/flv"}},
	"mpg":  {"video/MP1S", []string{"video/mpeg", "video/mp2p", "video/x-mpeg"}},
	"mp2t": {"video/mp2t", []string{"audio/mp2t", "video/mpeg", "video/vnd.dlna.mpeg-tts"}},
	"woff": {"font/woff", []string{"application/font-woff", "application/x-font-woff"}},
	"wof2": {"font/woff2", []string{"application/font-woff2", "application/x-font-woff2"}},
	"otf":  {"font/otf", []string{"font/sfnt", "application/font-sfnt", "application/x-font-otf", "application/x-font-opentype", "application/vnd.ms-opentype"}},
}

// scripts are what a page runs or is dressed with when it names a file as such. No signature becomes one, and they are
// served as text.
var scripts = []string{
	"text/javascript", "application/javascript", "application/x-javascript", "text/x-javascript", "text/ecmascript", "application/ecmascript", "application/x-ecmascript",
	"text/x-ecmascript", "text/jscript", "text/livescript", "text/javascript1.0", "text/javascript1.1", "text/javascript1.2", "text/javascript1.3", "text/javascript1.4", "text/javascript1.5",
	"text/css", "text/vbscript",
}

// known are the types that have a signature, or a name in the table: a star does not stand for them.
var known = func() map[string]bool {
	m := map[string]bool{"image/webp": true}
	add := func(f form) {
		m[f.mime] = true
		for _, t := range f.may {
			m[t] = true
		}
	}
	for _, f := range forms {
		add(f)
	}
	for _, s := range magic {
		add(formOf(s.form))
	}
	for _, name := range brands {
		add(formOf(name))
	}
	return m
}()

// formOf is the table's entry, or a type that is in no table.
func formOf(name string) form {
	if f, ok := forms[name]; ok {
		return f
	}
	return form{mime: name}
}

// typeOf is a blob's type: what the client says of it, where the bytes do not contradict that; else what they say; else
// nothing in particular.
func typeOf(head []byte, declared string) string {
	said := declaredType(declared)
	name := sniff(head)
	if name == "" { // text, or a format that nobody here knows
		if said == "" {
			return unknownType
		}
		return said
	}
	f := formOf(name)
	if said != "" && f.takes(said) {
		return said
	}
	return f.mime
}

const unknownType = "application/octet-stream"

// declaredType is a Content-Type without its parameters and in small letters; "" when it says nothing: it is absent,
// malformed, a wildcard, or the type of bytes of any kind.
func declaredType(text string) string {
	t, _, err := mime.ParseMediaType(text)
	if err != nil && t == "" || len(t) > 100 || strings.Count(t, "/") != 1 || strings.Contains(t, "*") || t == unknownType || t == "binary/octet-stream" {
		return ""
	}
	return t
}

// takes says whether a declared type is one that the form may have.
func (f form) takes(said string) bool {
	if said == f.mime {
		return true
	}
	if slices.Contains(scripts, said) {
		return false
	}
	if slices.Contains(f.may, said) {
		return true
	}
	for _, p := range f.may {
		if !strings.Contains(p, "*") || known[said] {
			continue
		}
		// Patterns with a suffix name what they stand for.
		if text := isText(said); text && !strings.HasPrefix(p, "text/") && !strings.Contains(p, "+") {
			continue
		}
		if ok, _ := path.Match(p, said); ok {
			return true
		}
	}
	return false
}

// isText says whether files of a type are text, so that no container of bytes is one.
func isText(t string) bool {
	for _, suffix := range []string{"+json", "+xml", "+yaml", "+json-seq"} {
		if strings.HasSuffix(t, suffix) {
			return true
		}
	}
	switch t {
	case "application/json", "application/xml", "application/yaml", "application/toml", "application/sql", "application/graphql", "application/x-ndjson", "application/json-seq",
		"application/x-sh", "application/x-httpd-php", "application/rtf", "application/typescript", "application/x-subrip", "application/x-yaml", "application/jsonl":
		return true
	}
	return strings.HasPrefix(t, "text/")
}

// ServedAs is the type that a file is given out with. A script or a style sheet is given out as the text that it is: this
// host must be no place from which a page, of this host or another, can take what a stranger wrote and run it. What its
// reference says stays.
func (i Info) ServedAs() string {
	t, _, err := mime.ParseMediaType(i.MimeType)
	switch {
	case err != nil:
		return unknownType
	case slices.Contains(scripts, t):
		return "text/plain; charset=utf-8"
	}
	return i.MimeType
}
