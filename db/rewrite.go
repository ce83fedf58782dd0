package db

import (
	"strings"
	"sync"
	"sync/atomic"

	"github.com/auroralocus/locus/schema"
)

// rewriteLimit bounds the rewritten texts of one process: 1,000 tenants with 100 statements each, about 60 MB at worst.
// Beyond it texts are rewritten anew each time, which costs a microsecond and nothing else.
const rewriteLimit = 100_000

// rewriter puts tenants' schemas in the place of the token, each text once per tenant.
type rewriter struct {
	tenants sync.Map // Schema → *sync.Map (text → text)
	kept    atomic.Int64
}

func (r *rewriter) texts(s Schema) *sync.Map {
	if m, ok := r.tenants.Load(s); ok {
		return m.(*sync.Map)
	}
	m, _ := r.tenants.LoadOrStore(s, new(sync.Map))
	return m.(*sync.Map)
}

// rewrite returns text for the tenant s, whose texts are known.
func (r *rewriter) rewrite(s Schema, known *sync.Map, text string) (string, error) {
	if s.IsZero() {
		return "", ErrNoSchema
	}
	if done, ok := known.Load(text); ok {
		return done.(string), nil
	}
	if !strings.Contains(text, schema.Token+".") {
		return "", ErrUnscoped
	}
	done := schema.Rename(text, s.name)
	if r.kept.Load() < rewriteLimit {
		if _, loaded := known.LoadOrStore(text, done); !loaded {
			r.kept.Add(1)
		}
	}
	return done, nil
}

// forget drops what is kept for a tenant that is gone.
func (r *rewriter) forget(s Schema) {
	m, ok := r.tenants.LoadAndDelete(s)
	if !ok {
		return
	}
	n := int64(0)
	m.(*sync.Map).Range(func(any, any) bool { n++; return true })
	r.kept.Add(-n)
}
