package splice

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

func parse(t testing.TB, text string) *Doc {
	t.Helper()
	d, err := Parse([]byte(text))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	t.Cleanup(d.Close)
	return d
}

func TestReads(t *testing.T) {
	d := parse(t, ` {"a" : "x\ny", "n":-12, "deep":{"l":[1,"two",{"three":true}]}, "\u0065sc":"é\ud83d\ude00", "twice":1, "twice":2, "f":1.5e3,"no":null} `)
	r := d.Root()
	if got := r.Get("a").Text(); got != "x\ny" {
		t.Errorf("a says %q", got)
	}
	if n, ok := r.Get("n").Int(); n != -12 || !ok {
		t.Errorf("n is %d", n)
	}
	if _, ok := r.Get("f").Int(); ok {
		t.Error("1.5e3 passes for an integer")
	}
	if got := r.Get("esc").Text(); got != "é😀" {
		t.Errorf("an escaped name leads to %q", got)
	}
	if n, _ := r.Get("twice").Int(); n != 2 {
		t.Errorf("of two the last counts, not %d", n)
	}
	list := r.Get("deep").Get("l")
	if list.Len() != 3 {
		t.Errorf("the list has %d", list.Len())
	}
	for v := range list.All {
		if v.Kind() == '{' && !v.Get("three").Bool() {
			t.Error("three is not true")
		}
	}
	if none := r.Get("x").Get("y"); none.Exists() || none.Text() != "" || none.Len() != 0 || none.Raw() != nil {
		t.Error("what is not there has something in it")
	}
	if !r.Get("a").Is("x\ny") || r.Get("a").Is("x") || r.Get("n").Is("-12") {
		t.Error("Is compares wrongly")
	}
}

func TestRefuses(t *testing.T) {
	for _, text := range []string{
		``, ` `, `{`, `{"a"}`, `{"a":}`, `{"a":1,}`, `[1,]`, `[1 2]`, `{a:1}`, `"x`, "\"a\nb\"", `"\x"`, `"\u12g4"`, `01`, `1.`, `-`, `1e`, `tru`,
		`{} {}`, `nul`, "\"\xff\"", strings.Repeat("[", MaxDepth+1) + strings.Repeat("]", MaxDepth+1),
	} {
		if _, err := Parse([]byte(text)); err == nil {
			t.Errorf("%q passes for JSON", text)
		}
	}
}

func TestEdits(t *testing.T) {
	for name, c := range map[string]struct {
		in, out string
		do      func(Value)
	}{
		"replace":           {`{"a": 1 , "b":[ 2 ]}`, `{"a":7,"b":[ 2 ]}`, func(v Value) { v.Set("a", []byte("7")) }},
		"add":               {`{"a":1}`, `{"a":1,"b":2,"c":3}`, func(v Value) { v.Set("b", []byte("2")); v.Set("c", []byte("3")) }},
		"add to nothing":    {`{ }`, `{"b":2}`, func(v Value) { v.Set("b", []byte("1")); v.Set("b", []byte("2")) }},
		"remove":            {`{"a":1,"b":2}`, `{"b":2}`, func(v Value) { v.Set("a", nil) }},
		"remove all":        {`{"a":1,"b":2}`, `{"c":3}`, func(v Value) { v.Set("a", nil); v.Set("b", nil); v.Set("c", []byte("3")) }},
		"remove and set":    {`{"a":1}`, `{"a":2}`, func(v Value) { v.Set("a", nil); v.Set("a", []byte("2")) }},
		"set and remove":    {`{"a":1}`, `{"a":1}`, func(v Value) { v.Set("b", []byte("2")); v.Set("b", nil) }},
		"name given twice":  {`{"a":1,"a":2,"b":3}`, `{"a":9,"b":3}`, func(v Value) { v.Set("a", []byte("9")) }},
		"before":            {`{"l":[1,2]}`, `{"l":[1,8,9,2]}`, func(v Value) { at(v.Get("l"), 1).Before([]byte("8")); at(v.Get("l"), 1).Before([]byte("9")) }},
		"both ends":         {`{"l":[1]}`, `{"l":[7,8,1,9]}`, func(v Value) { l := v.Get("l"); l.Append([]byte("9")); l.Prepend([]byte("7")); l.Prepend([]byte("8")) }},
		"an empty list":     {`{"l":[]}`, `{"l":[1]}`, func(v Value) { v.Get("l").Append([]byte("1")) }},
		"elements go":       {`{"l":[1,2,3]}`, `{"l":[2]}`, func(v Value) { at(v.Get("l"), 0).Remove(); at(v.Get("l"), 2).Remove() }},
		"gone, but a place": {`[1,2]`, `[5,2]`, func(v Value) { at(v, 0).Remove(); at(v, 0).Before([]byte("5")) }},
		"deep":              {`{"a":{"b":{"c":[{"d":1}]}},"z":"Ä"}`, `{"a":{"b":{"c":[{"d":2}]}},"z":"Ä"}`, func(v Value) { at(v.Get("a").Get("b").Get("c"), 0).Set("d", []byte("2")) }},
		"inside of gone":    {`{"a":{"b":1},"c":2}`, `{"c":2}`, func(v Value) { v.Get("a").Set("b", []byte("2")); v.Set("a", nil) }},
		"not an object":     {`[1]`, `[1]`, func(v Value) { v.Set("a", []byte("1")); v.Get("x").Set("a", nil); Value{}.Remove(); v.Remove() }},
	} {
		d := parse(t, c.in)
		c.do(d.Root())
		if got := string(d.Bytes()); got != c.out {
			t.Errorf("%s: %s, not %s", name, got, c.out)
		}
	}
}

func at(v Value, n int) Value {
	for m := range v.All {
		if n == 0 {
			return m
		}
		n--
	}
	return Value{}
}

// FuzzParse holds Parse against the standard library, and says that what nobody changed stays as it is, and that one
// member more in each object, and one element more in each list, is all that is changed.
func FuzzParse(f *testing.F) {
	for _, s := range []string{`{"a":[1,{"b":"\u00e4\"\\"}],"c":null}`, `[]`, `{}`, `-0.5e+7`, `"\ud800"`, `{"a":1,"a":{"":[[]]}}`, `"12345678\n9"`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		want := json.Valid(text) && utf8.Valid(text)
		d, err := Parse(text)
		if err != nil {
			if want && depth(text) <= MaxDepth {
				t.Fatalf("%q is refused", text)
			}
			return
		}
		defer d.Close()
		if !want {
			t.Fatalf("%q passes for JSON", text)
		}
		if got := d.Bytes(); string(got) != string(text) {
			t.Fatalf("%q became %q", text, got)
		}
		before := decode(t, text)
		each(d.Root(), func(v Value) { v.Set("\x00new", []byte("1")); v.Append([]byte(`"\u0000new"`)) })
		after := without(decode(t, d.Bytes()))
		if !reflect.DeepEqual(before, after) {
			t.Fatalf("%q became %q", text, d.Bytes())
		}
	})
}

func each(v Value, do func(Value)) {
	for m := range v.All {
		each(m, do)
	}
	do(v)
}

func depth(text []byte) (most int) {
	d := 0
	for _, c := range text { // brackets in strings only make it more
		if c == '{' || c == '[' {
			d++
			most = max(most, d)
		} else if c == '}' || c == ']' {
			d--
		}
	}
	return most
}

func decode(t *testing.T, text []byte) (v any) {
	t.Helper()
	if err := json.Unmarshal(text, &v); err != nil && strings.Contains(err.Error(), "invalid") {
		t.Fatalf("%q: %v", text, err)
	}
	return v
}

func without(v any) any {
	switch v := v.(type) {
	case map[string]any:
		delete(v, "\x00new")
		for k := range v {
			v[k] = without(v[k])
		}
	case []any:
		v = v[:len(v)-1]
		for i := range v {
			v[i] = without(v[i])
		}
		return v
	}
	return v
}

func BenchmarkParse(b *testing.B) {
	item := `{"post":{"uri":"at://did:plc:abcdefghijklmnopqrstuvwx/app.bsky.feed.post/3l6oveex3ii2l","cid":"bafyreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy","likeCount":12,"text":"` + strings.Repeat("some words ", 40) + `","viewer":{"muted":false}}}`
	text := []byte("[" + strings.Repeat(item+",", 199) + item + "]")
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		d, err := Parse(text)
		if err != nil {
			b.Fatal(err)
		}
		d.Close()
	}
}
