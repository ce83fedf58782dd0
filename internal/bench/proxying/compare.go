package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"
)

// recorded is what a server did with each request, by the request's name.
type recorded map[string]fields

// difference is one field of one request in which the servers differ.
type difference struct{ request, field, reference, ours string }

// differences are all of them, in the order of the requests.
func differences(list []request, reference, ours recorded) (out []difference) {
	for _, r := range list {
		a, b := reference[r.name], ours[r.name]
		names := make([]string, 0, len(a)+len(b))
		for name := range a {
			names = append(names, name)
		}
		for name := range b {
			if _, ok := a[name]; !ok {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		for _, name := range names {
			if a[name] != b[name] {
				out = append(out, difference{r.name, name, a[name], b[name]})
			}
		}
	}
	return out
}

// reason is why one server differs from the other in some fields of some requests.
type reason struct {
	requests, fields []string // patterns as path.Match has them, in which * is any text
	ours             string   // what ours says, if that is to be the same everywhere; "" is any
	why              string
}

// covers says whether a difference is one of a reason's.
func (r reason) covers(d difference) bool {
	return slices.ContainsFunc(r.requests, func(p string) bool { return matches(p, d.request) }) &&
		slices.ContainsFunc(r.fields, func(p string) bool { return matches(p, d.field) }) &&
		(r.ours == "" || matches(r.ours, d.ours))
}

// matches is path.Match for texts that may have slashes.
func matches(pattern, text string) bool {
	ok, err := path.Match(strings.ReplaceAll(pattern, "/", "\x00"), strings.ReplaceAll(text, "/", "\x00"))
	return ok && err == nil
}

// judge writes what differs, each with its reason, and says whether all have one and all reasons are needed.
func judge(w io.Writer, list []difference, reasons []reason, all bool) bool {
	used := make([]int, len(reasons))
	good := true
	for _, d := range list {
		i := slices.IndexFunc(reasons, func(r reason) bool { return r.covers(d) })
		if i < 0 {
			good = false
			fmt.Fprintf(w, "DIFFERENCE %s\n  %s: the reference %q, ours %q\n", d.request, d.field, d.reference, d.ours)
			continue
		}
		used[i]++
		if all {
			fmt.Fprintf(w, "known      %s\n  %s: the reference %q, ours %q\n  because %s\n", d.request, d.field, d.reference, d.ours, reasons[i].why)
		}
	}
	for i, r := range reasons {
		if used[i] == 0 {
			good = false
			fmt.Fprintf(w, "NEEDLESS   the reason %q covers nothing any more\n", r.why)
		}
	}
	fmt.Fprintf(w, "%d differences for %d reasons\n", len(list), len(reasons))
	return good
}

// unverified writes the calls of ours whose token the service did not take: none may be, whatever the reference does. It
// says whether there were none.
func unverified(w io.Writer, list []request, ours recorded) bool {
	good := true
	for _, r := range list {
		for name, value := range ours[r.name] {
			if strings.HasSuffix(name, ".token.verified") && value != "yes" && value != "no token" {
				good = false
				fmt.Fprintf(w, "TOKEN      %s: %s\n", r.name, value)
			}
		}
	}
	return good
}

func load(file string) (recorded, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var out recorded
	if err := json.Unmarshal(b, &out); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return out, nil
}

func (r recorded) save(file string) error {
	b, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(b, '\n'), 0o644)
}
