package main

import "fmt"

// extensions are optional members that our methods have beside those of their lexicon: lexicons are open, so clients
// that do not know them neither send nor miss them.
var extensions = []struct {
	of      string // definition; "#main" is a method's input
	members properties
}{
	{"com.atproto.server.createAppPassword#main", properties{{"expiresAt", &def{Type: "string", Format: "datetime"}}}},
	{"com.atproto.server.createAppPassword#appPassword", properties{{"expiresAt", &def{Type: "string", Format: "datetime"}}}},
	{"com.atproto.server.listAppPasswords#appPassword", properties{
		{"expiresAt", &def{Type: "string", Format: "datetime"}},
		{"lastUsedAt", &def{Type: "string", Format: "datetime"}},
	}},
}

// extend adds them. A member that the lexicon has meanwhile is an error: the two have to be brought together.
func extend(defs map[string]*def) error {
	for _, x := range extensions {
		d := defs[x.of]
		if d != nil && d.Input != nil {
			d = d.Input.Schema
		}
		if d == nil {
			continue // a catalogue without this method
		}
		for _, m := range x.members {
			for _, have := range d.Properties {
				if have.Name == m.Name {
					return fmt.Errorf("extension %s of %s is in the lexicon now", m.Name, x.of)
				}
			}
			d.Properties = append(d.Properties, m)
		}
	}
	return nil
}
