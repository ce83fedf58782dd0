package xrpc

import (
	"fmt"
	"net/http"
	"slices"
)

// ErrorKind is an error as clients tell it from others.
type ErrorKind struct {
	Status int
	Name   string
}

func (k ErrorKind) String() string { return fmt.Sprintf("%d %s", k.Status, k.Name) }

// ErrorOf is the error of a name and a status.
func ErrorOf(status int, name string) ErrorKind { return ErrorKind{status, name} }

// lexiconStatus is the status of the errors in lexicons that are not 400. An error of a stream has none.
func (op *Operation) lexiconStatus(name string) int {
	switch {
	case op.Kind == SubscriptionKind:
		return 0
	case name == "AccountTakedown", name == "AuthFactorTokenRequired":
		return http.StatusUnauthorized
	case name == "AccountNotFound":
		return http.StatusForbidden
	}
	return http.StatusBadRequest
}

// Declared are a method's own errors: its lexicon's, those that the tables add, and what its limits refuse.
func (op *Operation) Declared() (out []ErrorKind) {
	for _, name := range op.Errors {
		out = append(out, ErrorKind{op.lexiconStatus(name), name})
	}
	out = append(out, op.text.errors...)
	if op.Limit > 0 || op.LimitOf != nil {
		out = append(out, ErrorKind{http.StatusRequestEntityTooLarge, op.TooLarge()})
	}
	if op.Limits.by != 0 {
		out = append(out, ErrorKind{http.StatusTooManyRequests, nameOf(http.StatusTooManyRequests)})
	}
	return out
}

// TooLarge is what a body over the limit is refused with; the reference has a name for JSON and one for the rest.
func (op *Operation) TooLarge() string {
	if op.Input == "application/json" {
		return "PayloadTooLargeError"
	}
	return nameOf(http.StatusRequestEntityTooLarge)
}

// errorsText is what the document says of a method's errors, each with when it happens: those that are 400, and the others
// with their status.
func (op *Operation) errorsText() (of400, others string) {
	line := func(name, title string) string {
		when := ""
		if op.text.when != nil {
			when = op.text.when(name)
		}
		return "\n- `" + title + "`: " + when
	}
	seen := map[ErrorKind]bool{}
	for _, k := range op.Declared() {
		if seen[k] {
			continue
		}
		seen[k] = true
		switch k.Status {
		case http.StatusBadRequest:
			of400 += line(k.Name, k.Name)
		case 0:
			others += line(k.Name, k.Name) + " It is a message of the stream."
		default:
			others += line(k.Name, k.String())
		}
	}
	return of400, others
}

// namesOf are the names of errors, each once.
func namesOf(kinds []ErrorKind) []string {
	names := []string{}
	for _, k := range kinds {
		if !slices.Contains(names, k.Name) {
			names = append(names, k.Name)
		}
	}
	slices.Sort(names)
	return names
}
