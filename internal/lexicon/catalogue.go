package lexicon

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"

	indigo "github.com/bluesky-social/indigo/atproto/lexicon"
)

//go:embed catalogue.jsonl
var embedded []byte

// Catalogue is a set of lexicon documents, never changed after it is made.
type Catalogue struct {
	schemas map[string]*indigo.Schema       // by full reference: nsid#name
	mains   map[string]*indigo.Schema       // by nsid
	records map[string]*indigo.SchemaRecord // by nsid
}

// Default is the catalogue this program was built with. The first call reads it.
var Default = sync.OnceValue(func() *Catalogue {
	_, documents, _ := bytes.Cut(embedded, []byte("\n")) // the header
	c, err := Parse(documents)
	if err != nil {
		panic("lexicon catalogue: " + err.Error()) // generated and tested
	}
	return c
})

// Parse reads lexicon documents, one a line.
func Parse(lines []byte) (*Catalogue, error) {
	c := &Catalogue{schemas: map[string]*indigo.Schema{}, mains: map[string]*indigo.Schema{}, records: map[string]*indigo.SchemaRecord{}}
	for line := range bytes.Lines(lines) {
		if err := c.add(line); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func (c *Catalogue) add(document []byte) error {
	var file indigo.SchemaFile
	if err := json.Unmarshal(document, &file); err != nil {
		return fmt.Errorf("lexicon document: %w", err)
	}
	if err := file.FinishParse(); err != nil {
		return fmt.Errorf("%s: %w", file.ID, err)
	}
	if err := file.CheckSchema(); err != nil {
		return fmt.Errorf("%s: %w", file.ID, err)
	}
	for name, def := range file.Defs {
		s := &indigo.Schema{ID: file.ID + "#" + name, Def: def.Inner}
		c.schemas[s.ID] = s
		if name != "main" {
			continue
		}
		c.mains[file.ID] = s
		if record, ok := def.Inner.(indigo.SchemaRecord); ok {
			c.records[file.ID] = &record
		}
	}
	return nil
}

var errNotFound = errors.New("no such schema")

// Resolve gives indigo's validator a definition by reference. It only reads, so it needs no lock.
func (c *Catalogue) Resolve(ref string) (*indigo.Schema, error) {
	s := c.schemas[ref]
	if s == nil && !strings.Contains(ref, "#") {
		s = c.mains[ref]
	}
	if s == nil {
		return nil, errNotFound
	}
	return s, nil
}
