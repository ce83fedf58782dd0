package xrpc

import (
	"fmt"
	"sort"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/danielgtaylor/huma/v2"

	"github.com/auroralocus/locus/internal/auth"
)

// Access is the whole policy on one page, a method a line: name, verb, class, what proves the caller, the scope that one by
// OAuth needs, the body's limit, the limit of calls, what an answer may take in memory, remarks.
func (s *Server) Access() string {
	var out strings.Builder
	w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "# method\tverb\tclass\ttakes\trule\tbody\tlimit\tanswer\tnotes")
	names := make([]string, 0, len(s.Operations))
	for name := range s.Operations {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		op := s.Operations[name]
		fmt.Fprintln(w, strings.Join([]string{name, op.Kind.Verb(), op.Class, op.TakesText(), dash(op.rule.Scope), op.bodyText(), op.Limits.String(), op.answerText(), op.note}, "\t"))
	}
	if len(s.others.Access) > 0 {
		fmt.Fprintln(w, "# What is called elsewhere in the caller's name: the first line that fits counts.")
		for _, line := range s.others.Access {
			fmt.Fprintln(w, "# "+strings.Join(line, "\t"))
		}
	}
	_ = w.Flush()
	lines := strings.Split(out.String(), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.Join(lines, "\n")
}

func (op *Operation) TakesText() string {
	switch op.Class {
	case "account":
		if op.services {
			return op.Accept.String() + ", svc"
		}
		return op.Accept.String()
	case "viewer":
		return "none, " + op.Accept.String() + ", operator"
	case "refresh":
		if op.expiredToo {
			return "refresh, also expired"
		}
		return "refresh"
	case "newcomer":
		return "none, svc with a DID"
	case "overseen":
		return op.Accept.String() + ", mod svc with did"
	case "operator":
		if op.Role <= auth.RoleModerator {
			return "operator: " + op.Role.String() + ", mod svc"
		}
		return "operator: " + op.Role.String()
	}
	return "none"
}

func (op *Operation) bodyText() string {
	switch {
	case op.Input == "":
		return "-"
	case op.LimitOf != nil:
		return "setting"
	case op.Limit == 0:
		return "no limit"
	}
	return strconv.FormatInt(op.Limit, 10)
}

func (op *Operation) answerText() string {
	if op.answer == 0 {
		return "-"
	}
	return strconv.FormatInt(op.answer>>10, 10) + "K"
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// JSON is the document of the registered methods as clients get it. It is made once, when all methods are registered.
func (s *Server) JSON() []byte { return s.document() }

// YAML is the document of the registered methods; openapi/openapi.yaml is this, committed.
func (s *Server) YAML() ([]byte, error) { return s.api.OpenAPI().YAML() }

// Document is the document of the registered methods.
func (s *Server) Document() *huma.OpenAPI { return s.api.OpenAPI() }
