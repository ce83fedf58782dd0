package handlers

import (
	"fmt"
	"net/http"
)

// errorKind is an error as clients tell it from others.
type errorKind struct {
	status int
	name   string
}

func (k errorKind) String() string { return fmt.Sprintf("%d %s", k.status, k.name) }

// kindOf is the error of a name and a status.
func kindOf(status int, name string) errorKind { return errorKind{status, name} }

// lexiconStatus is the status of the errors in lexicons that are not 400. An error of a stream has none.
func (op *operation) lexiconStatus(name string) int {
	switch {
	case op.kind == subscriptionKind:
		return 0
	case name == "AccountTakedown", name == "AuthFactorTokenRequired":
		return http.StatusUnauthorized
	case name == "AccountNotFound":
		return http.StatusForbidden
	}
	return http.StatusBadRequest
}

// declared are a method's own errors: its lexicon's, those that the tables add, and what its limits refuse.
func (op *operation) declared() (out []errorKind) {
	for _, name := range op.errors {
		out = append(out, errorKind{op.lexiconStatus(name), name})
	}
	out = append(out, op.text.errors...)
	if op.limit > 0 || op.limitOf != nil {
		out = append(out, errorKind{http.StatusRequestEntityTooLarge, op.tooLarge()})
	}
	if op.limits.by != 0 {
		out = append(out, errorKind{http.StatusTooManyRequests, nameOf(http.StatusTooManyRequests)})
	}
	return out
}

// tooLarge is what a body over the limit is refused with; the reference has a name for JSON and one for the rest.
func (op *operation) tooLarge() string {
	if op.input == "application/json" {
		return "PayloadTooLargeError"
	}
	return nameOf(http.StatusRequestEntityTooLarge)
}

// errorsText is what the document says of a method's errors, each with when it happens: those that are 400, and the others
// with their status.
func (op *operation) errorsText() (of400, others string) {
	line := func(name, title string) string {
		when := ""
		if op.text.when != nil {
			when = op.text.when(name)
		}
		return "\n- `" + title + "`: " + when
	}
	seen := map[errorKind]bool{}
	for _, k := range op.declared() {
		if seen[k] {
			continue
		}
		seen[k] = true
		switch k.status {
		case http.StatusBadRequest:
			of400 += line(k.name, k.name)
		case 0:
			others += line(k.name, k.name) + " It is a message of the stream."
		default:
			others += line(k.name, k.String())
		}
	}
	return of400, others
}
