package account

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/bluesky-social/indigo/atproto/syntax"

	"github.com/auroralocus/locus/internal/tenant"
)

// CheckHandle brings a handle wanted by a user into its normal form and checks it against the syntax and the tenant's
// rules for handles under its own domains. Errors: the ErrHandle… of this package; [ErrHandleDomain] for a handle
// elsewhere, which only an account with a DID of its own may have.
//
// It does not know other tenants: ask [tenant.Registry.NameTaken] as well.
func CheckHandle(t *tenant.Tenant, handle string) (string, error) {
	parsed, err := syntax.ParseHandle(handle)
	if err != nil {
		return "", fmt.Errorf("%w: %.100q", ErrHandleSyntax, handle)
	}
	parsed = parsed.Normalize()
	label, _, ours := t.HandleLabel(parsed.String())
	// .test is refused in the open; a tenant can only have such a domain on a development server.
	if !parsed.AllowedTLD() || parsed.TLD() == "test" && !ours {
		return "", fmt.Errorf("%w: %s", ErrHandleTLD, parsed)
	}
	if !ours {
		return "", fmt.Errorf("%w: %s", ErrHandleDomain, parsed)
	}
	if err := checkLabel(&t.Settings, label); err != nil {
		return "", fmt.Errorf("%w: %s", err, parsed)
	}
	return parsed.String(), nil
}

func checkLabel(s *tenant.Settings, label string) error {
	switch {
	case strings.Contains(label, "."):
		return ErrHandleCharacters
	case len(label) < s.HandleMinLength:
		return ErrHandleShort
	case len(label) > s.HandleMaxLength:
		return ErrHandleLong
	case s.HandleReservedNames && reservedNames()[label], slices.Contains(s.HandleReservedExtra, label):
		return ErrHandleReserved
	}
	plain := strings.ReplaceAll(label, "-", "")
	for _, word := range s.HandleBlockedWords {
		if strings.Contains(plain, strings.ReplaceAll(word, "-", "")) {
			return ErrHandleWord
		}
	}
	return nil
}

//go:embed reserved.txt
var reservedText string

var reservedNames = sync.OnceValue(func() map[string]bool { return lines(reservedText) })

// lines reads an embedded list: one entry a line, # begins a comment.
func lines(text string) map[string]bool {
	out := map[string]bool{}
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		for word := range strings.FieldsSeq(line) {
			out[word] = true
		}
	}
	return out
}
