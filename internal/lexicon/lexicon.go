// Package lexicon owns the lexicon documents this server knows and the checking of records against them.
//
// The documents are those of a pinned @atproto/api (see NOTICE) and our own, org.auroralocus.*, the files in own/.
// catalogue.jsonl has them all, one a line, made by internal/gen/lexicons.sh; every record type among them is known. Nothing is ever fetched for
// a record: what is not in the catalogue is unknown, which is no error unless the caller says so.
package lexicon

import (
	"errors"
	"fmt"
	"strings"

	indigo "github.com/bluesky-social/indigo/atproto/lexicon"
	"github.com/bluesky-social/indigo/atproto/syntax"
)

// Status is what validation found out, in the words of the answer's validationStatus.
type Status string

const (
	StatusValid   Status = "valid"   // checked against a known schema
	StatusUnknown Status = "unknown" // nothing is known of the record's type
)

var (
	// ErrUnknownType refuses a record whose type must be known and is not.
	// 400 InvalidRequest, its own text: "Unknown lexicon type: <nsid>".
	ErrUnknownType = errors.New("unknown lexicon type")
	// ErrInvalid refuses a record that breaks its schema.
	// 400 InvalidRequest, its own text: "Invalid <nsid> record: …".
	ErrInvalid = errors.New("invalid record")
)

// Mode is the caller's `validate`, without false: then nobody asks.
type Mode bool

const (
	IfKnown  Mode = false // unset: check what is known
	MustKnow Mode = true  // true: refuse what is not
)

// literalOf begins the key kind of records that have one fixed key.
const literalOf = "literal:"

// Knows tells whether nsid is a record type of the catalogue.
func (c *Catalogue) Knows(nsid string) bool { return c.records[nsid] != nil }

// Validate checks a record of the collection nsid under the key rkey. The record is the tree that
// dagcbor.Decode makes: map[string]any, []any, string, int64, bool, nil, atdata.Bytes, atdata.CIDLink,
// atdata.Blob, with $type equal to nsid. Errors: [ErrUnknownType], [ErrInvalid].
// It is safe for concurrent use.
// spec: lexicon#record
func (c *Catalogue) Validate(nsid, rkey string, record any, mode Mode) (Status, error) {
	schema := c.records[nsid]
	if schema == nil {
		if mode == MustKnow {
			return StatusUnknown, &refusal{ErrUnknownType, "Unknown lexicon type: " + nsid}
		}
		return StatusUnknown, nil
	}
	if err := checkKey(schema.Key, rkey); err != nil {
		return "", invalid(nsid, err)
	}
	if err := indigo.ValidateRecord(c, record, nsid, 0); err != nil {
		return "", invalid(nsid, err)
	}
	return StatusValid, nil
}

// checkKey holds a record key against the kind its schema names.
// spec: record-key#record-key-type-any
func checkKey(kind, rkey string) error {
	if want, ok := strings.CutPrefix(kind, literalOf); ok {
		if rkey != want {
			return fmt.Errorf("record key must be %q", want)
		}
		return nil
	}
	switch kind {
	case "tid":
		if _, err := syntax.ParseTID(rkey); err != nil {
			return errors.New("record key must be a TID")
		}
	case "nsid":
		if _, err := syntax.ParseNSID(rkey); err != nil {
			return errors.New("record key must be an NSID")
		}
	}
	return nil
}

// refusal is an error whose text is exactly what the client reads.
type refusal struct {
	kind error
	text string
}

func (r *refusal) Error() string { return r.text }
func (r *refusal) Unwrap() error { return r.kind }

func invalid(nsid string, err error) error {
	return &refusal{ErrInvalid, "Invalid " + nsid + " record: " + err.Error()}
}
