// Package syntax owns the string formats of the lexicon language: what a DID, a handle, a datetime … looks like, and
// how many characters a person sees in a text.
//
// Every text that comes from outside and must be of such a format is judged here, a parameter as well as a member of a
// record. The checks are written from the specifications; docs/data-model.md has the places where they differ from
// indigo and from the reference implementation, and the tests hold them against both.
// spec: lexicon#string-formats
package syntax

import "strings"

// Format is one string format.
type Format struct {
	Name string // in the lexicon
	What string // for people: "must be a valid …"
	Max  int    // bytes
	is   func(string) bool
}

// Is tells whether a text is of the format.
func (f *Format) Is(s string) bool { return len(s) <= f.Max && f.is(s) }

// The formats.
var (
	DID          = &Format{"did", "DID", 2048, isDID}
	Handle       = &Format{"handle", "handle", 253, isHandle}
	AtIdentifier = &Format{"at-identifier", "handle or DID", 2048, isAtIdentifier}
	NSID         = &Format{"nsid", "NSID", 317, isNSID}
	AtURI        = &Format{"at-uri", "at:// URI", 8192, isAtURI}
	CID          = &Format{"cid", "CID", 256, isCID}
	TID          = &Format{"tid", "TID", 13, isTID}
	RecordKey    = &Format{"record-key", "record key", 512, isRecordKey}
	Datetime     = &Format{"datetime", "datetime (RFC 3339 with a time zone)", 64, isDatetime}
	URI          = &Format{"uri", "URI", 8192, isURI}
	Language     = &Format{"language", "language tag", 128, isLanguage}
)

var byName = map[string]*Format{}

func init() {
	for _, f := range []*Format{DID, Handle, AtIdentifier, NSID, AtURI, CID, TID, RecordKey, Datetime, URI, Language} {
		byName[f.Name] = f
	}
}

// Named is the format of a name, nil if there is none.
func Named(name string) *Format { return byName[name] }

func lower(c byte) bool    { return 'a' <= c && c <= 'z' }
func alpha(c byte) bool    { return lower(c | 0x20) }
func digit(c byte) bool    { return '0' <= c && c <= '9' }
func alphanum(c byte) bool { return alpha(c) || digit(c) }

// every tells whether all bytes of a text are of a kind; the empty text is.
func every(s string, kind func(byte) bool) bool {
	for i := range len(s) {
		if !kind(s[i]) {
			return false
		}
	}
	return true
}

// isDID takes every method; "%" is not looked behind.
// spec: did#did-identifier-syntax
func isDID(s string) bool {
	rest, ok := strings.CutPrefix(s, "did:")
	if !ok {
		return false
	}
	method, id, ok := strings.Cut(rest, ":")
	if !ok || method == "" || id == "" || !every(method, lower) {
		return false
	}
	if last := id[len(id)-1]; last == ':' || last == '%' {
		return false
	}
	return every(id, func(c byte) bool {
		return alphanum(c) || c == '.' || c == '_' || c == ':' || c == '%' || c == '-'
	})
}

// isLabel is a part of a domain name.
func isLabel(s string) bool {
	return s != "" && len(s) <= 63 && s[0] != '-' && s[len(s)-1] != '-' &&
		every(s, func(c byte) bool { return alphanum(c) || c == '-' })
}

// spec: handle#handle-identifier-syntax
func isHandle(s string) bool {
	last := strings.LastIndexByte(s, '.')
	if last < 0 || last+1 == len(s) || !alpha(s[last+1]) {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if !isLabel(label) {
			return false
		}
	}
	return true
}

func isAtIdentifier(s string) bool {
	if strings.HasPrefix(s, "did:") {
		return isDID(s)
	}
	return len(s) <= Handle.Max && isHandle(s)
}

// isNSID takes capitals in the authority, which is not case-sensitive; a repository's path wants it in lower case. Its
// authority may be longer than the 253 characters of the text: the interop lists have such names as valid.
// spec: nsid#nsid-syntax
func isNSID(s string) bool {
	last := strings.LastIndexByte(s, '.')
	if last < 0 {
		return false
	}
	authority, name := s[:last], s[last+1:]
	if name == "" || len(name) > 63 || !alpha(name[0]) || !every(name, alphanum) {
		return false
	}
	if !strings.Contains(authority, ".") || digit(authority[0]) {
		return false
	}
	for label := range strings.SplitSeq(authority, ".") {
		if !isLabel(label) {
			return false
		}
	}
	return true
}

func isAtURI(s string) bool {
	_, _, _, ok := SplitAtURI(s)
	return ok
}

// SplitAtURI takes an at:// URI apart; what is not in it is "". It is the restricted form: neither query nor fragment, no
// slash at the end.
// spec: at-uri-scheme#restricted-at-uri-syntax
func SplitAtURI(s string) (authority, collection, rkey string, ok bool) {
	rest, ok := strings.CutPrefix(s, "at://")
	if !ok {
		return "", "", "", false
	}
	authority, path, deeper := strings.Cut(rest, "/")
	if !AtIdentifier.Is(authority) {
		return "", "", "", false
	}
	if !deeper {
		return authority, "", "", true
	}
	collection, rkey, deeper = strings.Cut(path, "/")
	return authority, collection, rkey, NSID.Is(collection) && (!deeper || RecordKey.Is(rkey))
}

// spec: tid#tid-syntax
func isTID(s string) bool {
	return len(s) == 13 && s[0] <= 'j' && every(s, base32Digit)
}

func base32Digit(c byte) bool { return lower(c) || '2' <= c && c <= '7' }

// spec: record-key#record-key-syntax
func isRecordKey(s string) bool {
	return s != "" && s != "." && s != ".." && every(s, func(c byte) bool {
		return alphanum(c) || c == '.' || c == '_' || c == ':' || c == '~' || c == '-'
	})
}
