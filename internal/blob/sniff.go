package blob

import (
	"bytes"
	"mime"
	"strings"
)

// sniffLen is how many of the first bytes tell a file's type.
const sniffLen = 512

// magic is the table of signatures: bytes at an offset.
var magic = []struct {
	at   int
	sig  string
	mime string
}{
	{0, "\xff\xd8\xff", "image/jpeg"},
	{0, "\x89PNG\r\n\x1a\n", "image/png"},
	{0, "GIF8", "image/gif"},
	{0, "II*\x00", "image/tiff"},
	{0, "MM\x00*", "image/tiff"},
	{0, "\x00\x00\x01\x00", "image/x-icon"},
	{0, "8BPS", "image/vnd.adobe.photoshop"},
	{0, "\xff\x0a", "image/jxl"},
	{0, "\x00\x00\x00\x0cJXL \r\n\x87\x0a", "image/jxl"},
	{0, "\x00\x00\x00\x0cjP  \r\n\x87\x0a", "image/jp2"},
	{0, "OggS", "audio/ogg"},
	{0, "fLaC", "audio/x-flac"},
	{0, "ID3", "audio/mpeg"},
	{0, "\xff\xfb", "audio/mpeg"},
	{0, "\xff\xf3", "audio/mpeg"},
	{0, "\xff\xf2", "audio/mpeg"},
	{0, "\xff\xf1", "audio/aac"},
	{0, "\xff\xf9", "audio/aac"},
	{0, "MThd", "audio/midi"},
	{0, "FLV\x01", "video/x-flv"},
	{0, "\x00\x00\x01\xba", "video/MP1S"},
	{0, "\x00\x00\x01\xb3", "video/mpeg"},
	{0, "%PDF", "application/pdf"},
	{0, "PK\x03\x04", "application/zip"},
	{0, "\x1f\x8b\x08", "application/gzip"},
	{0, "7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"},
	{0, "Rar!\x1a\x07", "application/x-rar-compressed"},
	{0, "\x28\xb5\x2f\xfd", "application/zstd"},
	{0, "BZh", "application/x-bzip2"},
	{0, "\xfd7zXZ\x00", "application/x-xz"},
	{0, "\x00asm", "application/wasm"},
	{0, "SQLite format 3\x00", "application/x-sqlite3"},
	{0, "<?xml ", "application/xml"},
	{0, "glTF", "model/gltf-binary"},
	{0, "wOFF", "font/woff"},
	{0, "wOF2", "font/woff2"},
	{0, "OTTO", "font/otf"},
	{257, "ustar", "application/x-tar"},
}

// brands are the major brands of ISO media files.
var brands = map[string]string{
	"avif": "image/avif", "avis": "image/avif",
	"mif1": "image/heif", "msf1": "image/heif-sequence",
	"heic": "image/heic", "heix": "image/heic", "hevc": "image/heic-sequence", "hevx": "image/heic-sequence",
	"qt":  "video/quicktime",
	"M4V": "video/x-m4v", "M4VH": "video/x-m4v", "M4VP": "video/x-m4v",
	"M4A": "audio/x-m4a", "M4B": "audio/mp4", "F4A": "audio/mp4", "F4B": "audio/mp4",
	"M4P": "video/mp4", "F4V": "video/mp4", "F4P": "video/mp4",
	"crx": "image/x-canon-cr3",
}

// sniff tells a file's type by its first bytes, "" when they are no known signature. Text never is: HTML, SVG or
// JavaScript is what its uploader says, and served so that no browser runs it.
func sniff(head []byte) string {
	if len(head) >= 12 && string(head[:4]) == "RIFF" {
		switch string(head[8:12]) {
		case "WEBP":
			return "image/webp"
		case "WAVE":
			return "audio/vnd.wave"
		case "AVI ":
			return "video/vnd.avi"
		}
	}
	if len(head) >= 12 && string(head[4:8]) == "ftyp" {
		brand := strings.TrimRight(string(head[8:12]), " \x00")
		if t := brands[brand]; t != "" {
			return t
		}
		switch {
		case strings.HasPrefix(brand, "3g2"):
			return "video/3gpp2"
		case strings.HasPrefix(brand, "3g"):
			return "video/3gpp"
		}
		return "video/mp4"
	}
	if bytes.HasPrefix(head, []byte("\x1a\x45\xdf\xa3")) {
		if bytes.Contains(head[:min(len(head), 64)], []byte("webm")) {
			return "video/webm"
		}
		return "video/x-matroska"
	}
	if bytes.HasPrefix(head, []byte("OggS")) && len(head) > 36 {
		switch {
		case bytes.HasPrefix(head[28:], []byte("OpusHead")):
			return "audio/ogg"
		case bytes.HasPrefix(head[28:], []byte("\x80theora")):
			return "video/ogg"
		}
	}
	if len(head) > 14 && string(head[:2]) == "BM" && string(head[6:10]) == "\x00\x00\x00\x00" {
		return "image/bmp" // "BM" alone begins many a text
	}
	if len(head) > 376 && head[0] == 0x47 && head[188] == 0x47 && head[376] == 0x47 {
		return "video/mp2t"
	}
	for _, m := range magic {
		if len(head) >= m.at+len(m.sig) && string(head[m.at:m.at+len(m.sig)]) == m.sig {
			return m.mime
		}
	}
	return ""
}

// typeOf is a blob's type: what its bytes say, else what the client says, else nothing in particular.
func typeOf(head []byte, declared string) string {
	if t := sniff(head); t != "" {
		return t
	}
	t, _, err := mime.ParseMediaType(declared)
	if err != nil && t == "" || len(t) > 100 || strings.Count(t, "/") != 1 || strings.ContainsAny(t, "*") {
		return "application/octet-stream"
	}
	return t
}
