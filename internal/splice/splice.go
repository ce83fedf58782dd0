// Package splice reads a JSON text where it lies and changes places in it. What nobody changed comes out byte for byte as
// it went in, members that nobody here knows included.
//
// A text is read once, strictly, into a list of its values; looking at one costs no allocation. Changes are kept beside
// the text until [Doc.Bytes] writes both. It knows nothing of what the values mean.
package splice

import (
	"errors"
	"strconv"
	"sync"
	"unicode/utf8"
)

// ErrSyntax: the text is no JSON, or deeper than MaxDepth.
var ErrSyntax = errors.New("not JSON")

const (
	// MaxDepth is how deep objects and arrays may be in each other. A thread has one more for each post above another.
	MaxDepth = 2500
	// MaxBytes is how long a text may be: places in it are 32 bits.
	MaxBytes = 1 << 30
	// keptValues is the longest list of values that is kept for the next text.
	keptValues = 1 << 16
)

// Kind of a value, its first character: one of { [ " 0 t f n; zero: there is no such value.
type Kind byte

// node is one value of the text.
type node struct {
	start, end   uint32 // of the value
	name, nameTo uint32 // of the member's name, without its quotes
	next         uint32 // the first node behind the value and all that is in it
	parent       uint32
	edit         uint32 // what changes at this value: its place in Doc.edits, from 1
	kind         Kind
	escaped      bool // the name has escapes
	dirty        bool // something changes at this value or in it
}

// Doc is a JSON text and what is to be changed in it.
type Doc struct {
	text  []byte
	nodes []node
	edits []*edit
}

// edit is what changes in one container, or the value in the place of one value.
type edit struct {
	replaced []byte   // in the place of the value
	removed  bool     // the member or element goes
	before   [][]byte // elements that come before this one
	added    []member // behind the last one: members of an object, elements of an array
	first    [][]byte // elements in front of all others of an array
}

type member struct {
	name  string
	value []byte
}

var lists = sync.Pool{New: func() any { return new([]node) }}

// Parse reads a text, which must not change while the Doc is in use. Errors: [ErrSyntax].
func Parse(text []byte) (*Doc, error) {
	if len(text) > MaxBytes || !utf8.Valid(text) {
		return nil, ErrSyntax
	}
	list := lists.Get().(*[]node)
	p := parser{b: text, nodes: (*list)[:0]}
	ok := p.document()
	*list = p.nodes
	if !ok {
		lists.Put(list)
		return nil, ErrSyntax
	}
	return &Doc{text: text, nodes: p.nodes}, nil
}

// Close lets the next text use the Doc's memory. Values of it must not be used any more; texts and names that were read
// from it stay.
func (d *Doc) Close() {
	if cap(d.nodes) <= keptValues {
		list := d.nodes
		lists.Put(&list)
	}
	d.nodes, d.text = nil, nil
}

// Root is the text's value.
func (d *Doc) Root() Value { return Value{d, 0} }

// Changed tells whether Bytes would give another text.
func (d *Doc) Changed() bool { return len(d.edits) > 0 }

// Value is one value of a Doc. The zero Value is one that is not there: it is of no kind and has nothing in it.
type Value struct {
	doc *Doc
	at  uint32
}

func (v Value) node() *node { return &v.doc.nodes[v.at] }

// Kind is what the value is; zero if it is not there.
func (v Value) Kind() Kind {
	if v.doc == nil {
		return 0
	}
	return v.node().kind
}

// Exists tells whether the value is there.
func (v Value) Exists() bool { return v.doc != nil }

// Raw is the value as it is in the text, without changes.
func (v Value) Raw() []byte {
	if v.doc == nil {
		return nil
	}
	n := v.node()
	return v.doc.text[n.start:n.end]
}

// Text is what a string says; "" for any other value.
func (v Value) Text() string {
	if v.Kind() != '"' {
		return ""
	}
	n := v.node()
	s := v.doc.text[n.start+1 : n.end-1]
	return unquote(s)
}

// Is tells whether the value is a string that says s.
func (v Value) Is(s string) bool {
	if v.Kind() != '"' {
		return false
	}
	n := v.node()
	raw := v.doc.text[n.start+1 : n.end-1]
	return string(raw) == s || escaped(raw) && unquote(raw) == s
}

// Int is what an integer says; false for any other value.
func (v Value) Int() (int64, bool) {
	if v.Kind() != '0' {
		return 0, false
	}
	n, err := strconv.ParseInt(string(v.Raw()), 10, 64)
	return n, err == nil
}

// Bool tells whether the value is true.
func (v Value) Bool() bool { return v.Kind() == 't' }

// Name is the name of the member that the value is.
func (v Value) Name() string {
	n := v.node()
	return unquote(v.doc.text[n.name:n.nameTo])
}

// Get is the member of an object. When a name is there twice the last one counts, as it does for those who read it.
func (v Value) Get(name string) (found Value) {
	if v.Kind() != '{' {
		return Value{}
	}
	d := v.doc
	end := d.nodes[v.at].next
	for i := v.at + 1; i < end; i = d.nodes[i].next {
		n := &d.nodes[i]
		raw := d.text[n.name:n.nameTo]
		if string(raw) == name || n.escaped && unquote(raw) == name {
			found = Value{d, i}
		}
	}
	return found
}

// All are the members of an object or the elements of an array, in order.
func (v Value) All(yield func(Value) bool) {
	if k := v.Kind(); k != '{' && k != '[' {
		return
	}
	d := v.doc
	end := d.nodes[v.at].next
	for i := v.at + 1; i < end; i = d.nodes[i].next {
		if !yield(Value{d, i}) {
			return
		}
	}
}

// Len is how many there are of All.
func (v Value) Len() (n int) {
	for range v.All {
		n++
	}
	return n
}

// NameBytes is Name without an allocation, unless there are escapes in it.
func (v Value) NameBytes() []byte {
	n := v.node()
	raw := v.doc.text[n.name:n.nameTo]
	if n.escaped {
		return []byte(unquote(raw))
	}
	return raw
}
