package blob

import (
	"bytes"
	"strings"
)

// magic is the table of signatures: bytes at an offset, and the form that they are of, by its name in forms.
var magic = []struct {
	at   int
	sig  string
	form string
}{
	{0, "\xff\xd8\xff", "image/jpeg"},
	{0, "\x89PNG\r\n\x1a\n", "png"},
	{0, "GIF8", "image/gif"},
	{0, "II*\x00", "tiff"},
	{0, "MM\x00*", "tiff"},
	{0, "\x00\x00\x01\x00", "ico"},
	{0, "8BPS", "psd"},
	{0, "\xff\x0a", "image/jxl"},
	{0, "\x00\x00\x00\x0cJXL \r\n\x87\x0a", "image/jxl"},
	{0, "\x00\x00\x00\x0cjP  \r\n\x87\x0a", "jp2"},
	{0, "OggS", "ogg"},
	{0, "fLaC", "flac"},
	{0, "ID3", "id3"},
	{0, "\xff\xfb", "mpa"},
	{0, "\xff\xf3", "mpa"},
	{0, "\xff\xf2", "mpa"},
	{0, "\xff\xf1", "adts"},
	{0, "\xff\xf9", "adts"},
	{0, "MThd", "midi"},
	{0, "FLV\x01", "flv"},
	{0, "\x00\x00\x01\xba", "mpg"},
	{0, "\x00\x00\x01\xb3", "video/mpeg"},
	{0, "%PDF", "pdf"},
	{0, "PK\x03\x04", "zip"},
	{0, "\x1f\x8b\x08", "gzip"},
	{0, "7z\xbc\xaf\x27\x1c", "7z"},
	{0, "Rar!\x1a\x07", "rar"},
	{0, "\x28\xb5\x2f\xfd", "zstd"},
	{0, "BZh", "bzip2"},
	{0, "\xfd7zXZ\x00", "xz"},
	{0, "\x00asm", "application/wasm"},
	{0, "SQLite format 3\x00", "sqlite"},
	{0, "<?xml ", "xml"},
	{0, "\xef\xbb\xbf<?xml ", "xml"},
	{0, "\xfe\xff\x00<\x00?\x00x\x00m\x00l", "xml"},
	{0, "\xff\xfe<\x00?\x00x\x00m\x00l\x00", "xml"},
	{0, "glTF", "gltf"},
	{0, "wOFF", "woff"},
	{0, "wOF2", "wof2"},
	{0, "OTTO", "otf"},
	{257, "ustar", "tar"},
}

// brands are the forms of ISO media files by their major brand.
var brands = map[string]string{
	"avif": "avif", "avis": "avif",
	"mif1": "heif", "msf1": "heif series",
	"heic": "heic", "heix": "heic", "hevc": "heic series", "hevx": "heic series",
	"qt":  "video/quicktime",
	"M4V": "m4v", "M4VH": "m4v", "M4VP": "m4v",
	"M4A": "m4a", "M4B": "m4b", "F4A": "m4b", "F4B": "m4b",
	"M4P": "mp4", "F4V": "mp4", "F4P": "mp4",
	"crx": "image/x-canon-cr3",
}

// sniff tells a file's form by its first bytes, "" when they are no known signature. Text never is one, but for XML that
// says so: HTML, SVG or JavaScript is what its uploader says, and served so that no browser runs it.
func sniff(head []byte) string {
	if len(head) >= 12 && string(head[:4]) == "RIFF" {
		switch string(head[8:12]) {
		case "WEBP":
			return "image/webp"
		case "WAVE":
			return "wave"
		case "AVI ":
			return "avi"
		}
	}
	if len(head) >= 12 && string(head[4:8]) == "ftyp" {
		brand := strings.TrimRight(string(head[8:12]), " \x00")
		if t := brands[brand]; t != "" {
			return t
		}
		switch {
		case strings.HasPrefix(brand, "3g2"):
			return "3g2"
		case strings.HasPrefix(brand, "3g"):
			return "3gp"
		}
		return "mp4"
	}
	if bytes.HasPrefix(head, []byte("\x1a\x45\xdf\xa3")) {
		if bytes.Contains(head[:min(len(head), 64)], []byte("webm")) {
			return "webm"
		}
		return "matroska"
	}
	if bytes.HasPrefix(head, []byte("OggS")) && len(head) > 36 {
		switch {
		case bytes.HasPrefix(head[28:], []byte("OpusHead")):
			return "ogg"
		case bytes.HasPrefix(head[28:], []byte("\x80theora")):
			return "ogg video"
		}
	}
	if len(head) > 14 && string(head[:2]) == "BM" && string(head[6:10]) == "\x00\x00\x00\x00" {
		return "bmp" // "BM" alone begins many a text
	}
	if len(head) > 376 && head[0] == 0x47 && head[188] == 0x47 && head[376] == 0x47 {
		return "mp2t"
	}
	for _, m := range magic {
		if len(head) >= m.at+len(m.sig) && string(head[m.at:m.at+len(m.sig)]) == m.sig {
			return m.form
		}
	}
	return ""
}
