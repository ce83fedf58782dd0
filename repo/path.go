package repo

import (
	"errors"
	"fmt"
	"strings"
)

// ErrPath says that a repository path, its collection or its record key is not valid.
var ErrPath = errors.New("repo: invalid path")

const (
	maxNSID    = 317
	maxSegment = 63
	maxRecKey  = 512
)

// ParsePath splits "collection/rkey" and checks both parts fully.
//
// spec: repository#repository-paths
func ParsePath(path string) (collection, rkey string, err error) {
	collection, rkey, ok := strings.Cut(path, "/")
	if !ok {
		return "", "", fmt.Errorf("%w: %q has no slash", ErrPath, path)
	}
	if err := CheckCollection(collection); err != nil {
		return "", "", err
	}
	if err := CheckRecordKey(rkey); err != nil {
		return "", "", err
	}
	return collection, rkey, nil
}

// CheckCollection checks an NSID in its normal form: the authority in lower case.
//
// spec: nsid#nsid-syntax
func CheckCollection(nsid string) error {
	bad := func(why string) error { return fmt.Errorf("%w: collection %.330q: %s", ErrPath, nsid, why) }
	last := strings.LastIndexByte(nsid, '.')
	switch {
	case len(nsid) > maxNSID:
		return bad("too long")
	case last < 0 || strings.IndexByte(nsid, '.') == last:
		return bad("fewer than three segments")
	}
	name := nsid[last+1:]
	if len(name) == 0 || len(name) > maxSegment {
		return bad("length of the name")
	}
	for i := range len(name) {
		if c := name[i]; !letter(c|0x20) && (i == 0 || !digit(c)) {
			return bad("characters of the name")
		}
	}
	start := 0
	for i := 0; i <= last; i++ {
		if i < last && nsid[i] != '.' {
			if c := nsid[i]; !letter(c) && !digit(c) && c != '-' {
				return bad("characters of the authority")
			}
			continue
		}
		seg := nsid[start:i]
		switch {
		case len(seg) == 0 || len(seg) > maxSegment:
			return bad("length of a segment")
		case seg[0] == '-' || seg[len(seg)-1] == '-':
			return bad("hyphen at an end")
		case start == 0 && digit(seg[0]):
			return bad("begins with a digit")
		}
		start = i + 1
	}
	return nil
}

// CheckRecordKey checks a record key.
//
// spec: record-key#record-key-syntax
func CheckRecordKey(rkey string) error {
	bad := func(why string) error { return fmt.Errorf("%w: record key %.530q: %s", ErrPath, rkey, why) }
	switch {
	case len(rkey) == 0 || len(rkey) > maxRecKey:
		return bad("length")
	case rkey == "." || rkey == "..":
		return bad("dots")
	}
	for i := range len(rkey) {
		c := rkey[i]
		if !letter(c|0x20) && !digit(c) && c != '.' && c != '_' && c != ':' && c != '~' && c != '-' {
			return bad("characters")
		}
	}
	return nil
}

func letter(c byte) bool { return 'a' <= c && c <= 'z' }
func digit(c byte) bool  { return '0' <= c && c <= '9' }
