package main

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/internal/tenant"
)

// nodeFlags name further databases that tenants may lie in.
type nodeFlags struct {
	DatabaseNode []string `sep:"none" placeholder:"NAME=URL" help:"A further Postgres that tenants may lie in, by the name it has in 'locus node list'; may be repeated. In the environment several stand one a line, or behind commas. Every server should be given all: one that lacks a database serves the other tenants and says so." env:"LOCUS_DATABASE_NODES"`
}

var (
	// beginsNode and beginsReplica are how an entry begins: a URL of several hosts has commas, too.
	beginsNode    = regexp.MustCompile(`^\s*[a-zA-Z0-9_-]+=postgres(ql)?://`)
	beginsReplica = regexp.MustCompile(`^\s*([a-zA-Z0-9_-]+=)?postgres(ql)?://`)
)

// entriesOf are the entries of a flag that may be repeated, or has several a line or behind commas.
func entriesOf(texts []string, begins *regexp.Regexp) (entries []string) {
	for _, text := range texts {
		for line := range strings.Lines(text) {
			for i, part := range strings.Split(strings.TrimSpace(line), ",") {
				if i > 0 && !begins.MatchString(part) {
					entries[len(entries)-1] += "," + part
					continue
				}
				entries = append(entries, part)
			}
		}
	}
	return entries
}

// nodes are the URLs by their names.
func (f nodeFlags) nodes() (map[string]string, error) {
	entries := entriesOf(f.DatabaseNode, beginsNode)
	out := map[string]string{}
	for _, e := range entries {
		if e = strings.TrimSpace(e); e == "" {
			continue
		}
		name, at, _ := strings.Cut(e, "=")
		err := db.CheckNodeName(name)
		if u, bad := url.Parse(at); err == nil && (bad != nil || u.Scheme != "postgres" && u.Scheme != "postgresql") {
			err = errors.New("want NAME=postgres://…") // without the text: it may hold a password
		}
		switch {
		case err != nil:
		case name == tenant.HomeName:
			err = errors.New("this is the name of the control schema's own database, which --database-url gives")
		case out[name] != "":
			err = errors.New("named twice")
		}
		if err != nil {
			return nil, fmt.Errorf("--database-node or LOCUS_DATABASE_NODES: node %.40q: %w", name, err)
		}
		out[name] = at
	}
	return out, nil
}
