package main

import (
	"encoding/json"
	"fmt"
)

// extend adds the members that our methods have beside those of their lexicon (internal/lexicon/extensions.json). A
// member that the lexicon has meanwhile is an error: the two have to be brought together.
func extend(defs map[string]*def, extensions []byte) error {
	var all map[string]properties // by definition; "#main" is a method's input
	if err := json.Unmarshal(extensions, &all); err != nil {
		return fmt.Errorf("extensions: %w", err)
	}
	for of, members := range all {
		d := defs[of]
		if d != nil && d.Input != nil {
			d = d.Input.Schema
		}
		if d == nil {
			continue // a catalogue without this method
		}
		for _, m := range members {
			for _, have := range d.Properties {
				if have.Name == m.Name {
					return fmt.Errorf("extension %s of %s is in the lexicon now", m.Name, of)
				}
			}
			d.Properties = append(d.Properties, m)
		}
	}
	return nil
}
