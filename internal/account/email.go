package account

import (
	_ "embed"
	"fmt"
	"net/mail"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/auroralocus/locus/internal/tenant"
)

// CheckEmail brings an address into its normal form, lower case, and checks it: two validators that are wrong in
// different ways must both take it, and its domain must not be refused here. Errors: [ErrEmailRequired],
// [ErrEmailUnsupported].
func CheckEmail(s *tenant.Settings, email string) (string, error) {
	email = strings.ToLower(strings.TrimSpace(email))
	if email == "" {
		return "", ErrEmailRequired
	}
	if !plainAddress(email) || !parsedAddress(email) {
		return "", fmt.Errorf("%w: not an address", ErrEmailUnsupported)
	}
	domain := email[strings.LastIndexByte(email, '@')+1:]
	for d := domain; d != ""; _, d, _ = strings.Cut(d, ".") {
		if s.EmailBlockDisposable && disposableDomains()[d] || slices.Contains(s.EmailBlockedDomains, d) {
			return "", fmt.Errorf("%w: addresses at %s are refused", ErrEmailUnsupported, domain)
		}
	}
	return email, nil
}

// The longest address that fits a mail path, and the longest local part.
// spec: RFC 5321 section 4.5.3.1
const (
	maxEmail = 254
	maxLocal = 64
)

// addressForm is what browsers take in an e-mail field, with at least two labels behind the @.
var addressForm = regexp.MustCompile("^[a-z0-9.!#$%&'*+/=?^_`{|}~-]+@[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)+$")

func plainAddress(email string) bool {
	return len(email) <= maxEmail && strings.IndexByte(email, '@') <= maxLocal && addressForm.MatchString(email)
}

// parsedAddress also refuses what only looks right: dots in a row or at an end of the local part, a numeric top level.
func parsedAddress(email string) bool {
	a, err := mail.ParseAddress(email)
	if err != nil || a.Address != email || a.Name != "" {
		return false
	}
	tld := email[strings.LastIndexByte(email, '.')+1:]
	return strings.Trim(tld, "0123456789") != ""
}

//go:embed disposable.txt
var disposableText string

var disposableDomains = sync.OnceValue(func() map[string]bool { return lines(disposableText) })

// lines reads an embedded list: entries between blanks, # begins a comment.
func lines(text string) map[string]bool {
	out := map[string]bool{}
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		for entry := range strings.FieldsSeq(line) {
			out[entry] = true
		}
	}
	return out
}
