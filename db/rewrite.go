package db

import (
	"strings"
	"sync"
	"sync/atomic"

	"github.com/auroralocus/locus/schema"
)

// rewriteBytes bounds the rewritten texts of one process: 1,000 tenants with 100 statements each. The texts are this
// program's own: no stranger adds one. Beyond it texts are rewritten anew each time, which costs a microsecond and
// nothing else.
const rewriteBytes = 96 << 20

// rewrittenBytes is what a text takes beside itself: its place in the map.
const rewrittenBytes = 120

// rewriter puts tenants' schemas in the place of the token, each text once per tenant.
type rewriter struct {
	tenants sync.Map     // Schema → *sync.Map (text → text)
	kept    atomic.Int64 // bytes
	checked sync.Map     // texts that change nobody's rights
	// sharded tells whether a Citus cluster has the tables; known is false of a node that this process has not met yet.
	sharded func(s Schema) (is, known bool)
	// onShards names in a text of a schema the tables that a worker keeps the rows in.
	onShards func(s Schema, text string) (string, error)
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
	if _, ok := r.checked.Load(text); !ok {
		if changesRole.MatchString(text) {
			return "", ErrRoles
		}
		r.checked.Store(text, true)
	}
	done := schema.Rename(text, s.name)
	if r.sharded != nil {
		is, met := r.sharded(s)
		if is {
			var err error
			if done, err = r.onShards(s, done); err != nil {
				return "", err
			}
		}
		if !met {
			return done, nil // goes nowhere
		}
	}
	if n := int64(len(done) + rewrittenBytes); r.kept.Load()+n <= rewriteBytes {
		if _, loaded := known.LoadOrStore(text, done); !loaded {
			r.kept.Add(n)
		}
	}
	return done, nil
}

// anew drops the texts of a schema, wherever it lies: they will name other tables.
func (r *rewriter) anew(name string) {
	r.tenants.Range(func(s, m any) bool {
		if s.(Schema).name == name {
			r.empty(m.(*sync.Map))
		}
		return true
	})
}

func (r *rewriter) empty(m *sync.Map) {
	n := int64(0)
	m.Range(func(text, done any) bool {
		m.Delete(text)
		n += int64(len(done.(string)) + rewrittenBytes)
		return true
	})
	r.kept.Add(-n)
}

// forget drops what is kept for a tenant that is gone.
func (r *rewriter) forget(s Schema) {
	m, ok := r.tenants.LoadAndDelete(s)
	if !ok {
		return
	}
	n := int64(0)
	m.(*sync.Map).Range(func(_, done any) bool { n += int64(len(done.(string)) + rewrittenBytes); return true })
	r.kept.Add(-n)
}
