package lexicon

import (
	"bytes"
	_ "embed"
	"fmt"
	"strings"
	"sync"

	"github.com/go-json-experiment/json"
)

//go:embed catalogue.jsonl
var embedded []byte

// extensions are optional members that our methods have beside those of their lexicon, by definition ("#main" is a
// method's input): lexicons are open, so clients that do not know them neither send nor miss them.
//
//go:embed extensions.json
var extensions []byte

// Catalogue is a set of lexicon documents, never changed after it is made.
type Catalogue struct {
	records map[string]record  // by nsid
	methods map[string]*Method // by nsid
}

// record is a record type: what its keys and values must be.
type record struct {
	key   string
	value *schema
}

// Default is the catalogue this program was built with. The first call reads it.
var Default = sync.OnceValue(func() *Catalogue {
	_, documents, _ := bytes.Cut(embedded, []byte("\n")) // the header
	c, err := parse(documents, extensions)
	if err != nil {
		panic("lexicon catalogue: " + err.Error()) // generated and tested
	}
	return c
})

// Parse reads lexicon documents, one a line.
func Parse(lines []byte) (*Catalogue, error) { return parse(lines, nil) }

func parse(lines, extensions []byte) (*Catalogue, error) {
	l := &linker{defs: map[string]*def{}, made: map[string]*schema{}}
	for line := range bytes.Lines(lines) {
		var document struct {
			ID   string          `json:"id"`
			Defs map[string]*def `json:"defs"`
		}
		if err := json.Unmarshal(line, &document); err != nil {
			return nil, fmt.Errorf("lexicon document: %w", err)
		}
		for name, d := range document.Defs {
			l.defs[document.ID+"#"+name] = d
		}
	}
	if extensions != nil {
		if err := l.extend(extensions); err != nil {
			return nil, fmt.Errorf("extensions: %w", err)
		}
	}
	c := &Catalogue{records: map[string]record{}, methods: map[string]*Method{}}
	for ref, d := range l.defs {
		if err := c.add(l, ref, d); err != nil {
			return nil, fmt.Errorf("%s: %w", ref, err)
		}
	}
	return c, nil
}

// extend adds members to definitions.
func (l *linker) extend(text []byte) error {
	var all map[string]properties
	if err := json.Unmarshal(text, &all); err != nil {
		return err
	}
	for ref, more := range all {
		d := l.defs[ref]
		if d != nil && d.Input != nil {
			d = d.Input.Schema
		}
		if d == nil {
			return fmt.Errorf("%s is no definition", ref)
		}
		d.Properties = append(d.Properties, more...)
	}
	return nil
}

func (c *Catalogue) add(l *linker, ref string, d *def) error {
	id, isMain := strings.CutSuffix(ref, mainSuffix)
	switch d.Type {
	case "record":
		if !isMain {
			return fmt.Errorf("a record is a main definition")
		}
		if err := checkKeyKind(d.Key); err != nil {
			return err
		}
		value, err := l.reference(ref)
		if err == nil {
			c.records[id] = record{d.Key, value}
		}
		return err
	case "query", "procedure", "subscription":
		m := &Method{params: &schema{kind: isObject}}
		var err error
		if d.Parameters != nil {
			if m.params, err = l.schema(id, d.Parameters); err != nil {
				return err
			}
		}
		if d.Input != nil && d.Input.Schema != nil {
			m.input, err = l.schema(id, d.Input.Schema)
		}
		c.methods[id] = m
		return err
	case "permission-set":
		return nil
	}
	_, err := l.reference(ref)
	return err
}

// Method is what is known of a method's requests, nil for a name that is none.
func (c *Catalogue) Method(nsid string) *Method { return c.methods[nsid] }
