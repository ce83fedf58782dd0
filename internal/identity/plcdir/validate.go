package plcdir

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf16"

	"github.com/auroralocus/locus/internal/identity"
	"github.com/bluesky-social/indigo/atproto/atcrypto"
	"github.com/did-method-plc/go-didplc"
	"github.com/mr-tron/base58"
)

// Limits of an operation, as plc.directory has them.
const (
	maxOpBytes     = 4000 // of the signed operation as DAG-CBOR
	maxEntries     = 10   // alsoKnownAs, rotation keys, services, verification methods
	maxAKALength   = 258  // at:// and a handle
	maxIDLength    = 32
	maxTypeLength  = 256
	maxURLLength   = 512
	maxKeyLength   = 256
	recoveryWindow = 72 * time.Hour
)

// rateLimits count a DID's operations that are not nullified.
var rateLimits = []struct {
	within time.Duration
	max    int
	name   string
}{
	{time.Hour, 10, "hour"},
	{24 * time.Hour, 30, "day"},
	{7 * 24 * time.Hour, 100, "week"},
}

// refusal is why an operation is not accepted: what the client reads, and the error of package identity it is.
type refusal struct {
	text string
	kind error
}

func (r *refusal) Error() string { return r.text }
func (r *refusal) Unwrap() error { return r.kind }

func invalid(format string, args ...any) error {
	return &refusal{fmt.Sprintf(format, args...), identity.ErrOperation}
}

var errOrder = &refusal{"Operations not correctly ordered", identity.ErrOperationConflict}

// entry is an accepted operation.
type entry struct {
	cid       string
	op        didplc.Operation
	nullified bool
	createdAt time.Time
}

// active are the entries that count, oldest first.
func active(log []entry) []entry {
	out := make([]entry, 0, len(log))
	for _, e := range log {
		if !e.nullified {
			out = append(out, e)
		}
	}
	return out
}

// checkForm holds the limits for new operations. Legacy ones are read where they are in a log already, but no longer
// accepted.
func checkForm(op didplc.Operation) error {
	if _, legacy := op.(*didplc.LegacyOp); legacy {
		return invalid("Not a valid operation: legacy create operations are no longer accepted")
	}
	if b := op.SignedCBORBytes(); b == nil || len(b) > maxOpBytes {
		return invalid("Operation too large (%d bytes maximum in cbor encoding)", maxOpBytes)
	}
	r, ok := op.(*didplc.RegularOp)
	if !ok {
		return nil
	}
	if len(r.AlsoKnownAs) > maxEntries {
		return invalid("To many alsoKnownAs entries (max %d)", maxEntries)
	}
	seen := map[string]bool{}
	for _, aka := range r.AlsoKnownAs {
		if length(aka) > maxAKALength {
			return invalid("alsoKnownAs entry too long (max %d): %s", maxAKALength, aka)
		}
		if seen[aka] {
			return invalid("duplicate alsoKnownAs entry: %s", aka)
		}
		seen[aka] = true
	}
	if len(r.RotationKeys) > maxEntries {
		return invalid("Too many rotationKey entries (max %d)", maxEntries)
	}
	for _, key := range r.RotationKeys {
		if _, err := atcrypto.ParsePublicDIDKey(key); err != nil {
			return invalid("Invalid rotationKey: %s", key)
		}
	}
	if len(r.Services) > maxEntries {
		return invalid("To many service entries (max %d)", maxEntries)
	}
	for id, s := range r.Services {
		switch {
		case length(id) > maxIDLength:
			return invalid("Service id too long (max %d): %s", maxIDLength, id)
		case length(s.Type) > maxTypeLength:
			return invalid("Service type too long (max %d)", maxTypeLength)
		case length(s.Endpoint) > maxURLLength:
			return invalid("Service endpoint too long (max %d)", maxURLLength)
		}
	}
	if len(r.VerificationMethods) > maxEntries {
		return invalid("Too many Verification Method entries (max %d)", maxEntries)
	}
	for id, key := range r.VerificationMethods {
		switch {
		case length(id) > maxIDLength:
			return invalid("Verification Method id too long (max %d): %s", maxIDLength, id)
		case length(key) > maxKeyLength:
			return invalid("Verification Method key too long (max %d): %s", maxKeyLength, key)
		case !isDIDKey(key):
			return invalid("Invalid verificationMethod key: %s", key)
		}
	}
	return nil
}

// length counts as JavaScript does, which set these limits.
func length(s string) int { return len(utf16.Encode([]rune(s))) }

// isDIDKey takes any kind of key, known or not.
func isDIDKey(key string) bool {
	text, ok := strings.CutPrefix(key, "did:key:z")
	if !ok || text == "" {
		return false
	}
	b, err := base58.Decode(text)
	return err == nil && len(b) > 0
}

// checkNext decides whether op may follow, given the DID's active entries, and returns the CIDs it nullifies: what
// comes after its prev, when a key ranking above the one that signed the first of these takes it back in time.
// spec: did-plc#key-rotation--account-recovery
func checkNext(did string, log []entry, op didplc.Operation, at time.Time) (nullified []string, err error) {
	if len(log) == 0 {
		return nil, checkGenesis(did, op)
	}
	prev := op.PrevCIDStr()
	at0 := -1
	for i, e := range log {
		if e.cid == prev {
			at0 = i
		}
	}
	if at0 < 0 {
		return nil, errOrder
	}
	// Times strictly rise along a log: logs are ordered by them.
	if !at.After(log[len(log)-1].createdAt) {
		return nil, errOrder
	}
	base, undone := log[at0], log[at0+1:]
	state, err := identity.RegularForm(base.op)
	if err != nil { // nothing follows a tombstone; it can only be nullified
		return nil, errOrder
	}
	keys := state.RotationKeys
	if len(undone) > 0 {
		disputed, err := identity.SignedBy(undone[0].op, keys)
		if err != nil {
			return nil, fmt.Errorf("stored operation %s of %s: %w", undone[0].cid, did, errCorrupt)
		}
		keys = keys[:disputed]
	}
	if _, err := identity.SignedBy(op, keys); err != nil {
		return nil, invalid("Invalid signature on op")
	}
	if len(undone) == 0 {
		return nil, nil
	}
	if lapsed := at.Sub(undone[0].createdAt); lapsed > recoveryWindow {
		return nil, invalid("Recovery operation occurred outside of the allowed 72 hr recovery window. Time lapsed: %d", lapsed.Milliseconds())
	}
	for _, e := range undone {
		nullified = append(nullified, e.cid)
	}
	return nullified, nil
}

func checkGenesis(did string, op didplc.Operation) error {
	if !op.IsGenesis() { // tombstones included
		return errOrder
	}
	if _, err := identity.SignedBy(op, op.EquivalentRotationKeys()); err != nil {
		return invalid("Invalid signature on op")
	}
	expected, err := op.DID()
	if err != nil || expected != did {
		return invalid("Hash of genesis operation does not match DID identifier: %s", expected)
	}
	return nil
}

// checkRate counts the active entries. Recovery is never held up by it: an attacker could otherwise use the limit up.
func checkRate(log []entry, at time.Time) error {
	for _, limit := range rateLimits {
		n := 0
		for _, e := range log {
			if at.Sub(e.createdAt) < limit.within {
				n++
			}
		}
		if n >= limit.max {
			return &refusal{fmt.Sprintf("To many operations within last %s (max %d)", limit.name, limit.max), identity.ErrOperationRate}
		}
	}
	return nil
}
