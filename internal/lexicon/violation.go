package lexicon

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// violation says what is wrong with a value and where. It never holds the value.
type violation struct {
	path []string // innermost first
	what string
}

func (v *violation) Error() string {
	if len(v.path) == 0 {
		return "the request body " + v.what
	}
	var where strings.Builder
	for i, name := range slices.Backward(v.path) {
		if i < len(v.path)-1 && name[0] != '[' {
			where.WriteByte('.')
		}
		where.WriteString(name)
	}
	return where.String() + " " + v.what
}

func isViolation(err error) bool {
	var v *violation
	return errors.As(err, &v)
}

// Violation is what a lexicon has against a request, in words for its sender, and whether it was that at all.
func Violation(err error) (text string, ok bool) {
	var v *violation
	if !errors.As(err, &v) {
		return "", false
	}
	return v.Error(), true
}

// wrong begins a violation, where a value is looked at.
func wrong(what string) error { return &violation{what: what} }

func wrongf(format string, args ...any) error { return wrong(fmt.Sprintf(format, args...)) }

// in says of what the value is a part, on the way out.
func in(name string, err error) error {
	var v *violation
	if errors.As(err, &v) {
		v.path = append(v.path, name)
	}
	return err
}

func inElement(i int, err error) error { return in("["+strconv.Itoa(i)+"]", err) }

const errRequired = "is required"

// mustBe names the kind a value must be of.
func (s *schema) mustBe() error {
	switch s.kind {
	case isBoolean:
		return wrong("must be a boolean")
	case isInteger:
		return wrong("must be an integer")
	case isString:
		return wrong("must be a string")
	case isBytes:
		return wrong("must be bytes")
	case isLink:
		return wrong("must be a link")
	case isBlob:
		return wrong("must be a blob")
	case isArray:
		return wrong("must be an array")
	case isUnion:
		return wrong("must be an object with a $type")
	case isToken:
		return wrong("must not be there: a token is no value")
	}
	return wrong("must be an object")
}
