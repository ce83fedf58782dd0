package firehose

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/auroralocus/locus/internal/syntax"
)

// Limits of a filter, Jetstream's own.
const (
	MaxWantedCollections = 100
	MaxWantedDIDs        = 10_000
)

// ErrFilter: a filter nobody can mean. The text says what is wrong.
var ErrFilter = errors.New("invalid filter")

// Filter says which JSON messages a subscriber wants. The zero value wants all.
type Filter struct {
	collections map[string]bool
	prefixes    []string // with the last dot
	dids        map[string]bool
	maxSize     int
}

// NewFilter reads a filter: NSIDs or prefixes of them that end in ".*", DIDs, and the longest text in bytes (0: any).
func NewFilter(collections, dids []string, maxSize int) (*Filter, error) {
	f := &Filter{maxSize: max(maxSize, 0)}
	if len(collections) > MaxWantedCollections {
		return nil, fmt.Errorf("%w: more than %d wantedCollections", ErrFilter, MaxWantedCollections)
	}
	if len(dids) > MaxWantedDIDs {
		return nil, fmt.Errorf("%w: more than %d wantedDids", ErrFilter, MaxWantedDIDs)
	}
	for _, c := range collections {
		if prefix, ok := strings.CutSuffix(c, ".*"); ok {
			if !syntax.NSID.Is(prefix+".x.y") || prefix == "" {
				return nil, fmt.Errorf("%w: wantedCollections: %.100q is no prefix of collections", ErrFilter, c)
			}
			f.prefixes = append(f.prefixes, prefix+".")
			continue
		}
		if !syntax.NSID.Is(c) {
			return nil, fmt.Errorf("%w: wantedCollections: %.100q is no NSID", ErrFilter, c)
		}
		if f.collections == nil {
			f.collections = map[string]bool{}
		}
		f.collections[c] = true
	}
	for _, d := range dids {
		if !syntax.DID.Is(d) {
			return nil, fmt.Errorf("%w: wantedDids: %.100q is no DID", ErrFilter, d)
		}
		if f.dids == nil {
			f.dids = make(map[string]bool, len(dids))
		}
		f.dids[d] = true
	}
	return f, nil
}

// WantsDID tells whether anything of an account may be wanted.
func (f *Filter) WantsDID(did string) bool { return f.dids == nil || f.dids[did] }

// Wants tells whether a message of a wanted account is wanted. Those that are of no collection always are.
func (f *Filter) Wants(m *Message) bool {
	if f.maxSize > 0 && m.Size() > f.maxSize {
		return false
	}
	if m.Collection == "" || f.collections == nil && f.prefixes == nil {
		return true
	}
	return f.collections[m.Collection] ||
		slices.ContainsFunc(f.prefixes, func(p string) bool { return strings.HasPrefix(m.Collection, p) })
}
