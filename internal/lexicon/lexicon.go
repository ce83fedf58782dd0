// Package lexicon owns the lexicon documents this server knows and the checking of records and of requests against them.
//
// The documents are those of a pinned @atproto/api (see NOTICE) and our own, org.auroralocus.*, the files in own/.
// catalogue.jsonl has them all, one a line, made by internal/gen/lexicons.sh; every record type among them is known. Nothing is ever fetched for
// a record: what is not in the catalogue is unknown, which is no error unless the caller says so.
package lexicon

import (
	"errors"
	"fmt"
	"strings"

	"github.com/auroralocus/locus/internal/syntax"
	"github.com/auroralocus/locus/repo/dagcbor"
)

// Status is what validation found out, in the words of the answer's validationStatus.
type Status string

const (
	StatusValid   Status = "valid"   // checked against a known schema
	StatusUnknown Status = "unknown" // nothing is known of the record's type
)

var (
	// ErrUnknownType refuses a record whose type must be known and is not.
	// Its text is for the client: "Unknown lexicon type: <nsid>".
	ErrUnknownType = errors.New("unknown lexicon type")
	// ErrInvalid refuses a record that breaks its schema.
	// Its text is for the client: "Invalid <nsid> record: …".
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
func (c *Catalogue) Knows(nsid string) bool { return c.records[nsid].value != nil }

// Validate checks a record of the collection nsid under the key rkey. The record is a block that was checked
// (dagcbor.FromJSON made it, or dagcbor.ValidateRecord took it), with $type equal to nsid. Nothing is decoded for it, and
// of a type that is not known nothing is read. Errors: [ErrUnknownType], [ErrInvalid]. It is safe for concurrent use.
//
// spec: lexicon#record
func (c *Catalogue) Validate(nsid, rkey string, record []byte, mode Mode) (Status, error) {
	known, ok := c.records[nsid]
	if !ok {
		if mode == MustKnow {
			return StatusUnknown, &refusal{ErrUnknownType, "Unknown lexicon type: " + nsid}
		}
		return StatusUnknown, nil
	}
	if err := checkKey(known.key, rkey); err != nil {
		return "", invalid(nsid, err)
	}
	if dagcbor.Type(record) != nsid {
		return "", invalid(nsid, in("record", wrong("must be an object whose $type is its collection")))
	}
	r := dagcbor.NewReader(record)
	switch err := known.value.block(&r); {
	case err == nil:
		return StatusValid, nil
	case isViolation(err):
		return "", invalid(nsid, err)
	default:
		return "", fmt.Errorf("read a record of %s: %w", nsid, err)
	}
}

// checkKeyKind refuses a schema whose kind of key is not one of the specification's.
func checkKeyKind(kind string) error {
	switch kind {
	case "tid", "nsid", "any":
		return nil
	}
	if literal, ok := strings.CutPrefix(kind, literalOf); ok && syntax.RecordKey.Is(literal) {
		return nil
	}
	return fmt.Errorf("record key specifier %q", kind)
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
		if !syntax.TID.Is(rkey) {
			return errors.New("record key must be a TID")
		}
	case "nsid":
		if !syntax.NSID.Is(rkey) {
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
