package identity

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/auroralocus/locus/internal/syntax"
)

// Why a handle is refused. The texts are what users see: clients know them.
var (
	// ErrHandleSyntax: not a handle at all.
	ErrHandleSyntax = errors.New("Handle is not a valid handle")
	// ErrHandleTLD: under a name that can never resolve.
	ErrHandleTLD = errors.New("Handle TLD is invalid or disallowed")
	// ErrHandleTooShort and ErrHandleTooLong: the label under a service domain.
	ErrHandleTooShort = errors.New("Handle too short")
	ErrHandleTooLong  = errors.New("Handle too long")
	// ErrHandleChars: more than one label in front of a service domain.
	ErrHandleChars = errors.New("Invalid characters in handle")
	// ErrHandleReserved: on the list of reserved names, or the bare service domain.
	ErrHandleReserved = errors.New("Reserved handle")
	// ErrHandleRefused: contains a word the tenant does not want.
	ErrHandleRefused = errors.New("Inappropriate language in handle")
)

// HandleKind says who vouches for a handle.
type HandleKind uint8

// Kinds of handles.
const (
	// HandleHosted: under one of the tenant's service domains; the tenant itself says whose it is.
	HandleHosted HandleKind = iota + 1
	// HandleExternal: anywhere else; it must resolve to the account's DID.
	HandleExternal
)

// Length of the label in front of a service domain.
const (
	DefaultHandleMin = 3
	DefaultHandleMax = 18
)

// HandlePolicy is a tenant's rule for the handles of its accounts.
type HandlePolicy struct {
	Domains  []string // service domains, lower case, without the leading dot
	Min, Max int      // length of the label under a service domain; 0: the defaults
	// Reserve and Release change the list of reserved names for the tenant.
	Reserve, Release []string
	// Refuse lists words no hosted handle may contain; separators are ignored.
	Refuse []string
	// Dev allows .test.
	Dev bool
}

// NormalizeHandle checks the syntax and returns the handle in lower case. Errors: [ErrHandleSyntax].
// spec: handle#handle-identifier-syntax
func NormalizeHandle(handle string) (string, error) {
	if !syntax.Handle.Is(handle) {
		return "", ErrHandleSyntax
	}
	return strings.ToLower(handle), nil
}

// Check applies the policy to a handle that an account wants and returns it in lower case. Operators may hand out
// reserved and refused names, other lengths, and the bare service domain. It does not say whether the handle is taken,
// nor whether an external one resolves.
func (p HandlePolicy) Check(handle string, byOperator bool) (string, HandleKind, error) {
	h, err := NormalizeHandle(handle)
	if err != nil {
		return "", 0, err
	}
	if !p.allowedTLD(h) {
		return "", 0, ErrHandleTLD
	}
	label, hosted := p.Hosted(h)
	if !hosted {
		return h, HandleExternal, nil
	}
	if strings.Contains(label, ".") {
		return "", 0, ErrHandleChars
	}
	if byOperator {
		return h, HandleHosted, nil
	}
	minLen, maxLen := p.Min, p.Max
	if minLen <= 0 {
		minLen = DefaultHandleMin
	}
	if maxLen <= 0 {
		maxLen = DefaultHandleMax
	}
	switch {
	case label == "":
		return "", 0, ErrHandleReserved
	case len(label) < minLen:
		return "", 0, ErrHandleTooShort
	case len(label) > maxLen:
		return "", 0, ErrHandleTooLong
	case p.reserved(label):
		return "", 0, ErrHandleReserved
	case p.refused(label):
		return "", 0, ErrHandleRefused
	}
	return h, HandleHosted, nil
}

// Hosted splits a handle in lower case into what stands in front of a service domain and whether there is one; the bare
// domain gives "" and true. The longest domain counts.
func (p HandlePolicy) Hosted(handle string) (label string, ok bool) {
	best := -1
	for _, d := range p.Domains {
		if handle == d && len(d) > best {
			label, ok, best = "", true, len(d)
		} else if rest, under := strings.CutSuffix(handle, "."+d); under && len(d) > best {
			label, ok, best = rest, true, len(d)
		}
	}
	return label, ok
}

// refusedTLDs cannot lead anywhere on the public internet.
// spec: handle#additional-non-syntax-restrictions
var refusedTLDs = []string{"alt", "arpa", "example", "internal", "invalid", "local", "localhost", "onion"}

func (p HandlePolicy) allowedTLD(h string) bool {
	tld := h[strings.LastIndexByte(h, '.')+1:]
	if tld == "test" {
		return p.Dev
	}
	return !slices.Contains(refusedTLDs, tld)
}

func (p HandlePolicy) reserved(label string) bool {
	if slices.Contains(p.Release, label) {
		return false
	}
	return reservedNames[label] || slices.Contains(p.Reserve, label)
}

func (p HandlePolicy) refused(label string) bool {
	bare := strings.ReplaceAll(label, "-", "")
	return slices.ContainsFunc(p.Refuse, func(w string) bool { return w != "" && strings.Contains(bare, w) })
}

// HandleError says whether err is one of the reasons of [HandlePolicy.Check].
func HandleError(err error) bool {
	for _, e := range []error{ErrHandleSyntax, ErrHandleTLD, ErrHandleTooShort, ErrHandleTooLong, ErrHandleChars, ErrHandleReserved, ErrHandleRefused} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// parseHandleAnswer takes the DID out of what a host serves at /.well-known/atproto-did: the first line, trimmed.
// spec: handle#https-well-known-method
func parseHandleAnswer(body []byte) (string, error) {
	line, _, _ := strings.Cut(string(body), "\n")
	did := strings.TrimSpace(line)
	if err := ParseDID(did); err != nil {
		return "", fmt.Errorf("%w: the answer is %w", ErrHandleNotFound, ErrHandleNoDID)
	}
	return did, nil
}

// parseHandleTXT takes the DID out of TXT records: exactly one did= value; different ones mean that the owner has not
// decided.
// spec: handle#dns-txt-method
func parseHandleTXT(records []string) (string, error) {
	found := ""
	for _, r := range records {
		did, ok := strings.CutPrefix(r, "did=")
		if !ok {
			continue
		}
		did = strings.TrimSpace(did)
		if found != "" && did != found {
			return "", fmt.Errorf("%w: DNS names %w", ErrHandleNotFound, ErrHandleSeveral)
		}
		found = did
	}
	if ParseDID(found) != nil {
		return "", fmt.Errorf("%w: DNS names %w", ErrHandleNotFound, ErrHandleNoDID)
	}
	return found, nil
}
