package lexicon

import (
	"bytes"
	"encoding/json"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	jsonv2 "github.com/go-json-experiment/json"

	"github.com/auroralocus/locus/internal/syntax/oracle"
	"github.com/auroralocus/locus/repo/dagcbor"
)

// maker makes records of a type from its definition: right ones, and ones with a few things wrong.
type maker struct {
	rng  *rand.Rand
	defs map[string]*def
	bad  float64 // how often a value is of another kind or out of its bounds
}

func (m *maker) one(list ...any) any { return list[m.rng.IntN(len(list))] }

func (m *maker) value(id string, d *def, depth int) any {
	if m.rng.Float64() < m.bad {
		return m.one("text", 7, true, nil, []any{}, map[string]any{}, "", -1, map[string]any{"$type": "com.example.thing"}, map[string]any{"$link": exampleCID}, map[string]any{"$bytes": "AAAA"})
	}
	switch d.Type {
	case "ref":
		ref := full(id, d.Ref)
		to, _, _ := strings.Cut(ref, "#")
		return m.value(to, m.defs[ref], depth)
	case "record":
		return m.value(id, d.Record, depth)
	case "boolean":
		return m.rng.IntN(2) == 0
	case "integer":
		n := or(d.Minimum, 0) + m.rng.Int64N(5)
		if d.Maximum != nil && m.rng.IntN(3) == 0 {
			n = *d.Maximum + m.rng.Int64N(2)*int64(m.rng.IntN(2))
		}
		return n
	case "string":
		return m.text(d)
	case "cid-link":
		return map[string]any{"$link": exampleCID}
	case "bytes":
		return map[string]any{"$bytes": "AAAA"}
	case "blob":
		mime := "image/png"
		if len(d.Accept) > 0 {
			mime = strings.ReplaceAll(d.Accept[0], "*", "png")
		}
		return map[string]any{"$type": "blob", "ref": map[string]any{"$link": exampleCID}, "mimeType": mime, "size": 1000}
	case "array":
		list := []any{}
		for range m.rng.IntN(3) {
			list = append(list, m.value(id, d.Items, depth+1))
		}
		if d.MaxLength != nil && *d.MaxLength < 20 && m.rng.IntN(6) == 0 {
			for len(list) < *d.MaxLength+m.rng.IntN(2) {
				list = append(list, m.value(id, d.Items, 9))
			}
		}
		return list
	case "union":
		return m.union(id, d, depth)
	case "object":
		o := map[string]any{}
		for _, p := range d.Properties {
			required := slices.Contains(d.Required, p.name)
			if !required && (depth > 4 || m.rng.IntN(2) == 0) || required && m.rng.Float64() < m.bad/2 {
				continue
			}
			if slices.Contains(d.Nullable, p.name) && m.rng.IntN(3) == 0 {
				o[p.name] = nil
				continue
			}
			o[p.name] = m.value(id, p.def, depth+1)
		}
		return o
	}
	return map[string]any{"anything": 1} // unknown
}

func (m *maker) union(id string, d *def, depth int) any {
	if len(d.Refs) == 0 || m.rng.IntN(8) == 0 {
		return map[string]any{"$type": m.one("com.example.other", "com.example.other#part", "app.bsky.feed.like")}
	}
	ref := full(id, d.Refs[m.rng.IntN(len(d.Refs))])
	to, _, _ := strings.Cut(ref, "#")
	v, ok := m.value(to, m.defs[ref], depth+1).(map[string]any)
	if !ok {
		return 1
	}
	if m.rng.Float64() >= m.bad/2 {
		v["$type"] = strings.TrimSuffix(ref, mainSuffix)
	}
	return v
}

const exampleCID = "bafkreibme22gw2h7y2h7tg2fhqotaqjucnbc24deqo72b6mkl2egezxhvy"

// examples are texts about which all are of one mind: how the others are judged, internal/syntax tests.
var examples = map[string][2]string{
	"did": {"did:plc:ewvi7nxzyoun6zhxrhs64oiz", "did:plc:"}, "handle": {"alice.test", "alice"}, "at-identifier": {"alice.test", "@alice"},
	"nsid": {"app.bsky.feed.post", "app.bsky"}, "at-uri": {"at://did:plc:x/app.bsky.feed.post/x", "at://x"}, "cid": {exampleCID, "bafy"}, "tid": {"3jzfcijpj2z2a", "x"},
	"record-key": {"self", ".."}, "datetime": {"2026-01-02T03:04:05.678Z", "yesterday"}, "uri": {"https://example.com/日本", "example"}, "language": {"pt-BR", "j!"},
}

func (m *maker) text(d *def) string {
	if d.Format != "" {
		if m.rng.Float64() < m.bad {
			return examples[d.Format][1]
		}
		return examples[d.Format][0]
	}
	if d.Enum != nil || d.Const != nil {
		var all []string
		if d.Const != nil {
			all = make([]string, 1)
			_ = json.Unmarshal(d.Const, &all[0])
		} else {
			_ = json.Unmarshal(d.Enum, &all)
		}
		return all[m.rng.IntN(len(all))]
	}
	unit := m.one("a", "ü", "🦋", "क्ष", "👨‍👩‍👧‍👦", "é").(string)
	n := m.rng.IntN(4)
	switch {
	case d.MaxGraphemes != nil && m.rng.IntN(3) == 0:
		n = *d.MaxGraphemes + m.rng.IntN(2)
	case d.MaxLength != nil && m.rng.IntN(3) == 0:
		n = *d.MaxLength/len(unit) + m.rng.IntN(2)
	}
	return strings.Repeat(unit, min(n, 20_000))
}

// TestOracle holds the judging of records against the reference's: every record type of the catalogue, right and wrong
// records of it, the same verdict.
func TestOracle(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6)) // the same records every time
	m := &maker{rng: rng, defs: map[string]*def{}}
	_, lines, _ := bytes.Cut(embedded, []byte("\n"))
	var documents []json.RawMessage
	for line := range bytes.Lines(lines) {
		var document struct {
			ID   string
			Defs map[string]*def
		}
		if err := jsonUnmarshal(line, &document); err != nil {
			t.Fatal(err)
		}
		for name, d := range document.Defs {
			m.defs[document.ID+"#"+name] = d
		}
		documents = append(documents, bytes.TrimSpace(line))
	}
	questions := []any{map[string]any{"documents": documents}}
	type asked struct {
		nsid  string
		value []byte
		err   error
	}
	var all []asked
	valid := 0
	for _, nsid := range slices.Sorted(maps.Keys(Default().records)) {
		d := m.defs[nsid+mainSuffix]
		for i := range 300 {
			m.bad = []float64{0, 0.02, 0.1}[i%3]
			value, ok := m.value(nsid, d, 0).(map[string]any)
			if !ok {
				continue
			}
			value["$type"] = nsid
			text, err := json.Marshal(value)
			if err != nil {
				t.Fatal(err)
			}
			block, err := dagcbor.FromJSON(text, dagcbor.Limits{Type: nsid})
			if err != nil {
				continue // no record at all
			}
			_, err = Default().Validate(nsid, keyFor(Default().records[nsid].key), block, MustKnow)
			if err == nil {
				valid++
			}
			all = append(all, asked{nsid, text, err})
			questions = append(questions, map[string]any{"record": nsid, "value": json.RawMessage(text)})
		}
	}
	if valid < len(all)/10 || valid > len(all)*9/10 {
		t.Errorf("%d of %d records are valid: the maker is too good or too bad", valid, len(all))
	}
	answers := oracle.Ask(t, questions...)
	if answers == nil {
		return
	}
	differ := 0
	for i, a := range all {
		theirs := string(answers[i+1])
		if (a.err == nil) == (theirs == "null") {
			continue
		}
		if differ++; differ < 20 {
			t.Errorf("%s: ours %v, the reference %s\n%.600s", a.nsid, a.err, theirs, a.value)
		}
	}
	t.Logf("%d records, %d of them valid, %d differences", len(all), valid, differ)
}

func keyFor(kind string) string {
	if want, ok := strings.CutPrefix(kind, literalOf); ok {
		return want
	}
	if kind == "nsid" {
		return "app.bsky.feed.post"
	}
	return "3jzfcijpj2z2a"
}

func jsonUnmarshal(text []byte, v any) error {
	return jsonv2.Unmarshal(text, v, jsonv2.MatchCaseInsensitiveNames(true))
}
