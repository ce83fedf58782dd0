package splice

// Changes to one Doc may be made in any order. What is inside of a value that was removed or replaced is gone, changes
// and all.

func (v Value) edit() *edit {
	d := v.doc
	n := v.node()
	if n.edit != 0 {
		return d.edits[n.edit-1]
	}
	e := new(edit)
	d.edits = append(d.edits, e)
	n.edit = uint32(len(d.edits))
	for i := v.at; !d.nodes[i].dirty; i = d.nodes[i].parent {
		d.nodes[i].dirty = true // the root is its own parent
	}
	return e
}

// Replace puts a JSON value in the place of this one.
func (v Value) Replace(with []byte) {
	e := v.edit()
	e.replaced, e.removed = with, false
}

// Remove takes a member out of its object or an element out of its array. The root stays.
func (v Value) Remove() {
	if v.doc != nil && v.at != 0 {
		v.edit().removed = true
	}
}

// Set gives an object's member a JSON value; a nil value takes the member away.
func (v Value) Set(name string, to []byte) {
	if v.Kind() != '{' {
		return
	}
	d := v.doc
	set := false
	end := d.nodes[v.at].next
	for i := v.at + 1; i < end; i = d.nodes[i].next {
		m := Value{d, i}
		n := m.node()
		raw := d.text[n.name:n.nameTo]
		if string(raw) != name && (!n.escaped || unquote(raw) != name) {
			continue
		}
		if to == nil || set { // one of a name is enough
			m.Remove()
			continue
		}
		m.Replace(to)
		set = true
	}
	if set || to == nil && v.node().edit == 0 {
		return
	}
	e := v.edit()
	for i := range e.added {
		if e.added[i].name == name {
			e.added = append(e.added[:i], e.added[i+1:]...)
			break
		}
	}
	if to != nil {
		e.added = append(e.added, member{name, to})
	}
}

// Before puts a JSON value into the array that this value is an element of, before it and behind what was put there.
func (v Value) Before(element []byte) {
	if v.at != 0 && v.doc.nodes[v.node().parent].kind == '[' {
		e := v.edit()
		e.before = append(e.before, element)
	}
}

// Prepend puts a JSON value in front of all elements of an array, behind those that were put there.
func (v Value) Prepend(element []byte) {
	if v.Kind() == '[' {
		e := v.edit()
		e.first = append(e.first, element)
	}
}

// Append puts a JSON value behind all elements of an array.
func (v Value) Append(element []byte) {
	if v.Kind() == '[' {
		e := v.edit()
		e.added = append(e.added, member{value: element})
	}
}

// Bytes is the text with its changes, or the text itself if there are none.
func (d *Doc) Bytes() []byte {
	if !d.Changed() {
		return d.text
	}
	extra := 64
	for _, e := range d.edits {
		extra += len(e.replaced)
		for _, b := range e.before {
			extra += len(b) + 1
		}
		for _, b := range e.first {
			extra += len(b) + 1
		}
		for _, m := range e.added {
			extra += len(m.name) + len(m.value) + 8
		}
	}
	return d.Root().append(make([]byte, 0, len(d.text)+extra))
}

var unedited edit

func (v Value) append(out []byte) []byte {
	d, n := v.doc, v.node()
	e := &unedited
	if n.edit != 0 {
		e = d.edits[n.edit-1]
	}
	if e.replaced != nil {
		return append(out, e.replaced...)
	}
	if !n.dirty || n.kind != '{' && n.kind != '[' { // unchanged, or something comes before it
		return append(out, v.Raw()...)
	}
	w := writer{out: append(out, byte(n.kind)), text: d.text, from: len(out) + 1}
	for _, el := range e.first {
		w.put(el)
	}
	for i := v.at + 1; i < n.next; i = d.nodes[i].next {
		m := &d.nodes[i]
		start := m.start
		if n.kind == '{' {
			start = m.name - 1
		}
		if !m.dirty {
			w.keep(start, m.end)
			continue
		}
		w.flush()
		if m.edit != 0 {
			me := d.edits[m.edit-1]
			for _, el := range me.before {
				w.put(el)
			}
			if me.removed {
				continue
			}
		}
		w.comma()
		if n.kind == '{' {
			w.out = append(append(w.out, d.text[start:m.nameTo+1]...), ':')
		}
		w.out = Value{d, i}.append(w.out)
	}
	w.flush()
	for _, a := range e.added {
		if n.kind == '[' {
			w.put(a.value)
			continue
		}
		w.comma()
		w.out = append(append(append(w.out, Quote(a.name)...), ':'), a.value...)
	}
	return append(w.out, byte(n.kind)+2) // '{' + 2 is '}', '[' + 2 is ']'
}

// writer writes what is in one container.
type writer struct {
	out, text []byte
	from      int    // where in out the first one begins
	run, end  uint32 // what of the text is to be kept, commas and all, and is not written yet
}

func (w *writer) comma() {
	if len(w.out) > w.from {
		w.out = append(w.out, ',')
	}
}

func (w *writer) put(element []byte) {
	w.comma()
	w.out = append(w.out, element...)
}

// keep writes one that is unchanged, together with its neighbours.
func (w *writer) keep(start, end uint32) {
	if w.end == 0 {
		w.run = start
	}
	w.end = end
}

func (w *writer) flush() {
	if w.end > 0 {
		w.put(w.text[w.run:w.end])
		w.end = 0
	}
}
