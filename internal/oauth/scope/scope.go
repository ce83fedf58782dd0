// Package scope is the language in which an OAuth client says what it wants to do: parsed, written in its one canonical
// form, held against what a call needs, and sorted into groups that a person can say yes or no to.
//
// It is pure: what a permission set lists is handed to it. It fails closed: a scope that it does not understand opens
// nothing.
// spec: permission#scope-string-syntax
package scope

import (
	"slices"
	"strings"
)

// The scopes that have no parameters.
const (
	Atproto = "atproto"              // asked for by every client
	Generic = "transition:generic"   // nearly what an app password may do
	Chat    = "transition:chat.bsky" // with Generic: messages, too
	Mail    = "transition:email"     // the account's address
)

// Set is what a client asks for or was granted. The zero Set opens nothing.
type Set struct{ list []element }

// element is one scope: one of the words above, a permission or an include.
type element struct {
	text       string // canonical
	permission permission
	include    *Include
}

// Parse reads a list of scopes with spaces between them. What is unknown or broken is left out.
func Parse(text string) Set {
	var s Set
	for part := range strings.SplitSeq(text, " ") {
		s.add(parseElement(part))
	}
	return s
}

func (s *Set) add(e element) {
	if e.text != "" && !slices.ContainsFunc(s.list, func(have element) bool { return have.text == e.text }) {
		s.list = append(s.list, e)
	}
}

func parseElement(text string) element {
	switch text {
	case Atproto, Generic, Chat, Mail:
		return element{text: text}
	}
	if p := parse(text); p != nil {
		return element{text: p.String(), permission: p}
	}
	if i, ok := parseInclude(text); ok {
		return element{text: i.String(), include: &i}
	}
	return element{}
}

// String is the canonical text, in the order that the scopes were asked for.
func (s Set) String() string {
	texts := make([]string, len(s.list))
	for i, e := range s.list {
		texts[i] = e.text
	}
	return strings.Join(texts, " ")
}

// Has says whether one of the scopes is this, in its canonical form.
func (s Set) Has(text string) bool {
	return slices.ContainsFunc(s.list, func(e element) bool { return e.text == text })
}

// Empty says whether there is nothing in it.
func (s Set) Empty() bool { return len(s.list) == 0 }

// Covers says whether a call that needs n is granted. Without atproto nothing is.
func (s Set) Covers(n Need) bool {
	if !s.Has(Atproto) {
		return false
	}
	if n.kind == needAny || s.transition(n) {
		return true
	}
	return slices.ContainsFunc(s.list, func(e element) bool { return e.permission != nil && e.permission.covers(n) })
}

// transition says whether one of the scopes from before there were fine ones covers it.
func (s Set) transition(n Need) bool {
	generic := s.Has(Generic)
	switch n.kind {
	case needRepo, needBlob:
		return generic
	case needRPC:
		// Chat is only ever given together with generic.
		// spec: oauth#transitional-scopes
		return generic && (!strings.HasPrefix(strings.ToLower(n.name), "chat.bsky.") || s.Has(Chat))
	case needAccount:
		return n.name == "email" && !n.manage && s.Has(Mail)
	}
	return false
}

// Fine is the set without the scopes from before there were fine ones.
func (s Set) Fine() Set {
	return s.filter(func(e element) bool { return e.text != Generic && e.text != Chat && e.text != Mail })
}

// Both is what is in s as well as in other.
func (s Set) Both(other Set) Set {
	return s.filter(func(e element) bool { return other.Has(e.text) })
}

func (s Set) filter(keep func(element) bool) (out Set) {
	for _, e := range s.list {
		if keep(e) {
			out.list = append(out.list, e)
		}
	}
	return out
}

// Includes are the permission sets that it asks for.
func (s Set) Includes() (out []Include) {
	for _, e := range s.list {
		if e.include != nil {
			out = append(out, *e.include)
		}
	}
	return out
}

// Expand puts what permission sets list in the place of the includes that ask for it. of gives a set's entries; what it
// does not know opens nothing.
func (s Set) Expand(of func(Include) []Entry) (out Set) {
	for _, e := range s.list {
		if e.include == nil {
			out.add(e)
			continue
		}
		for _, p := range e.include.permissions(of(*e.include)) {
			out.add(element{text: p.String(), permission: p})
		}
	}
	return out
}

// Undeclared is the first scope of a request that a client's document does not declare, letter for letter; "" when all
// are declared.
// spec: oauth#authorization-scopes
func Undeclared(asked, declared string) string {
	all := strings.Split(declared, " ")
	for part := range strings.SplitSeq(asked, " ") {
		if part != "" && !slices.Contains(all, part) {
			return part
		}
	}
	return ""
}

// WellFormed says whether text can be a scope parameter: printable ASCII without quote and backslash, one space between
// the parts, none twice, and atproto among them.
// spec: RFC 6749, section 3.3
func WellFormed(text string) bool {
	seen := map[string]bool{}
	for part := range strings.SplitSeq(text, " ") {
		if part == "" || seen[part] {
			return false
		}
		seen[part] = true
		for i := range len(part) {
			if c := part[i]; c <= ' ' || c > '~' || c == '"' || c == '\\' {
				return false
			}
		}
	}
	return seen[Atproto]
}
