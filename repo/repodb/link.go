package repodb

import (
	"bytes"
	"strings"

	"github.com/auroralocus/locus/repo/dagcbor"
)

// maxLink is the longest subject that is indexed: an index row must fit a third of a page. Longer ones are legal and
// merely not found as duplicates.
const maxLink = 1024

// What the records of a collection point at.
const (
	linkNone = iota
	linkDID
	linkURI
)

func linkKind(path string) int {
	collection, _, _ := strings.Cut(path, "/")
	switch collection {
	case "app.bsky.graph.follow", "app.bsky.graph.block":
		return linkDID
	case "app.bsky.feed.like", "app.bsky.feed.repost":
		return linkURI
	}
	return linkNone
}

// LinkOf is what a follow, block, like or repost points at: the subject's DID or URI. False for other collections, and
// for subjects that are no such thing.
func LinkOf(path string, record []byte) (string, bool) {
	kind := linkKind(path)
	if kind == linkNone {
		return "", false
	}
	r := dagcbor.NewReader(record)
	if !seek(&r, "subject") {
		return "", false
	}
	prefix := "did:"
	if kind == linkURI {
		prefix = "at://"
		if !seek(&r, "uri") {
			return "", false
		}
	}
	s, err := r.Text()
	if err != nil || len(s) > maxLink || !bytes.HasPrefix(s, []byte(prefix)) || bytes.IndexByte(s, 0) >= 0 {
		return "", false // Postgres takes no NUL in a text
	}
	return string(s), true
}

// seek moves r from the head of a map to the value of a field.
func seek(r *dagcbor.Reader, field string) bool {
	if r.Major() != dagcbor.MajorMap {
		return false
	}
	n, err := r.Map()
	for ; err == nil && n > 0; n-- {
		var key []byte
		if key, err = r.Text(); err != nil || string(key) == field {
			break
		}
		_, err = r.Skip()
	}
	return err == nil && n > 0
}
