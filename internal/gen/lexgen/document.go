package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// def is one definition of a lexicon, any type: unused members stay zero.
// spec: lexicon#overview-of-types
type def struct {
	Type       string     `json:"type"`
	Text       string     `json:"description"` // of our own documents
	Key        string     `json:"key"`
	Record     *def       `json:"record"`
	Parameters *def       `json:"parameters"`
	Input      *body      `json:"input"`
	Output     *body      `json:"output"`
	Errors     []nameOf   `json:"errors"`
	Required   []string   `json:"required"`
	Nullable   []string   `json:"nullable"`
	Properties properties `json:"properties"`
	Items      *def       `json:"items"`
	Ref        string     `json:"ref"`
	Refs       []string   `json:"refs"`
	Closed     bool       `json:"closed"`
	Format     string     `json:"format"`
	Default    any        `json:"default"`
	Minimum    *int64     `json:"minimum"`
	Maximum    *int64     `json:"maximum"`
	MinLength  *int       `json:"minLength"`
	MaxLength  *int       `json:"maxLength"`
	Enum       []string   `json:"enum"`
}

type body struct {
	Encoding string `json:"encoding"`
	Schema   *def   `json:"schema"`
}

type nameOf struct {
	Name string `json:"name"`
}

// properties keeps the document's order: the generated structs read like the lexicon.
type properties []property

type property struct {
	Name string
	Def  *def
}

func (p *properties) UnmarshalJSON(b []byte) error {
	dec := json.NewDecoder(bytes.NewReader(b))
	if _, err := dec.Token(); err != nil {
		return err
	}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return err
		}
		d := new(def)
		if err := dec.Decode(d); err != nil {
			return err
		}
		*p = append(*p, property{name.(string), d})
	}
	return nil
}

type document struct {
	ID   string          `json:"id"`
	Defs map[string]*def `json:"defs"`
}

func parseCatalogue(b []byte) (header, []document, error) {
	h, lines, own, err := splitCatalogue(b)
	if err != nil {
		return h, nil, err
	}
	lines = append(lines, own...)
	docs := make([]document, len(lines))
	for i, line := range lines {
		if err := json.Unmarshal(line, &docs[i]); err != nil {
			return h, nil, fmt.Errorf("catalogue line %d: %w", i+2, err)
		}
	}
	return h, docs, nil
}

// resolve gives a reference as written in document id its full form, "nsid#name".
func resolve(id, ref string) string {
	switch {
	case strings.HasPrefix(ref, "#"):
		return id + ref
	case !strings.Contains(ref, "#"):
		return ref + "#main"
	}
	return ref
}
