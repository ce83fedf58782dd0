// Package view has the app's views as their lexicons say: types that look at one where it lies in an answer and change
// single members of it, and structs for those that are written anew. What a type does not name stays in the answer.
package view

import (
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/auroralocus/locus/internal/splice"
)

// Node is a value where it lies. The name leaves "Value" to lexicons.
type Node = splice.Value

// List is an array of views.
type List[T ~struct{ Node }] struct{ Node }

// Views are the elements, in order.
func (l List[T]) Views(yield func(T) bool) {
	for v := range l.All {
		if !yield(T(struct{ Node }{v})) {
			return
		}
	}
}

// First is the first element; one that is not there if the list is empty.
func (l List[T]) First() T {
	for v := range l.All {
		return T(struct{ Node }{v})
	}
	return T{}
}

type shapeID uint8

// shape is what the lexicon says of an object, as far as others rely on it.
type shape struct {
	name   string
	fields []field
}

type field struct {
	name     string
	kind     splice.Kind // 't': any boolean; zero: any value
	required bool
	of       shapeID   // an object, or each element of an array
	oneOf    []shapeID // variants of the union that are looked at
}

// is tells whether a union's value is this variant.
func is(v splice.Value, s shapeID) bool { return v.Get("$type").Is(shapes[s].name) }

// fits tells whether a value has all that its lexicon requires, and nothing of another kind. It is loose: formats and
// lengths are not looked at, null is as good as nothing, and what is not named may be there.
func fits(v splice.Value, s shapeID) bool {
	if v.Kind() != '{' {
		return false
	}
	fields := shapes[s].fields
	var seen uint64
	at := 0
	for m := range v.All {
		name := m.NameBytes()
		i := find(fields, name, at)
		if i < 0 {
			continue
		}
		at = i + 1
		f := &fields[i]
		if m.Kind() == 'n' && f.kind != 0 {
			continue
		}
		seen |= 1 << i
		if !f.fits(m) {
			return false
		}
	}
	for i := range fields {
		if fields[i].required && seen&(1<<i) == 0 {
			return false
		}
	}
	return true
}

// find looks for a field, first from where the last one was: answers have theirs in the lexicon's order, more or less.
func find(fields []field, name []byte, from int) int {
	for i := from; i < len(fields); i++ {
		if fields[i].name == string(name) {
			return i
		}
	}
	for i := range min(from, len(fields)) {
		if fields[i].name == string(name) {
			return i
		}
	}
	return -1
}

func (f *field) fits(m splice.Value) bool {
	k := m.Kind()
	if k == 'f' {
		k = 't'
	}
	if f.kind != 0 && k != f.kind {
		return false
	}
	if f.of == 0 && f.oneOf == nil {
		return true
	}
	if k == '[' {
		for el := range m.All {
			if !f.one(el) {
				return false
			}
		}
		return true
	}
	return f.one(m)
}

func (f *field) one(v splice.Value) bool {
	if f.of != 0 {
		return fits(v, f.of)
	}
	if v.Kind() != '{' {
		return false
	}
	t := v.Get("$type")
	if t.Kind() != '"' {
		return false
	}
	for _, s := range f.oneOf {
		if t.Is(shapes[s].name) {
			return fits(v, s)
		}
	}
	return true
}

func integer(n int64) []byte { return strconv.AppendInt(nil, n, 10) }

func encode(v any) jsontext.Value {
	b, err := json.Marshal(v, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)) // others' JSON is as it is
	if err != nil {
		panic(err) // structs of texts, numbers and JSON that was read
	}
	return b
}
