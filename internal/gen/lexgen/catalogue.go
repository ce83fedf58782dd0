package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"sort"
)

// header is the first line of the catalogue: where it comes from, under which licence, and the digest of
// the lines that follow, so that a check without network still notices an edit by hand.
type header struct {
	Package   string `json:"package"`
	Version   string `json:"version"`
	License   string `json:"license"`
	Copyright string `json:"copyright"`
	Documents int    `json:"documents"`
	SHA256    string `json:"sha256"`
}

const marker = "export const schemaDict = "

// makeCatalogue reads the package's lexicons.js and returns the catalogue: a header line, then one
// lexicon document a line, by identifier.
func makeCatalogue(source []byte, version string) ([]byte, error) {
	at := bytes.Index(source, []byte(marker))
	if at < 0 {
		return nil, fmt.Errorf("no %q in the package's lexicons", marker)
	}
	all, _, err := literalToJSON(source[at+len(marker):])
	if err != nil {
		return nil, fmt.Errorf("read the schema literal: %w", err)
	}
	var byName map[string]json.RawMessage
	if err := json.Unmarshal(all, &byName); err != nil {
		return nil, err
	}
	documents := map[string]json.RawMessage{}
	var ids []string
	for name, doc := range byName {
		var d struct {
			Lexicon int    `json:"lexicon"`
			ID      string `json:"id"`
		}
		if err := json.Unmarshal(doc, &d); err != nil {
			return nil, err
		}
		if d.Lexicon != 1 || d.ID == "" {
			return nil, fmt.Errorf("%s is not a lexicon document of version 1", name)
		}
		documents[d.ID] = doc
		ids = append(ids, d.ID)
	}
	sort.Strings(ids)
	var body bytes.Buffer
	for _, id := range ids {
		body.Write(documents[id])
		body.WriteByte('\n')
	}
	sum := sha256.Sum256(body.Bytes())
	head, err := json.Marshal(header{
		Package:   "@atproto/api",
		Version:   version,
		License:   "MIT OR Apache-2.0",
		Copyright: "Copyright (c) 2022-2026 Bluesky Social PBC, and Contributors",
		Documents: len(ids),
		SHA256:    hex.EncodeToString(sum[:]),
	})
	if err != nil {
		return nil, err
	}
	return append(append(head, '\n'), body.Bytes()...), nil
}

// splitCatalogue checks a catalogue's header against its lines and returns both.
func splitCatalogue(b []byte) (header, [][]byte, error) {
	var h header
	first, body, ok := bytes.Cut(b, []byte("\n"))
	if !ok {
		return h, nil, fmt.Errorf("empty catalogue")
	}
	if err := json.Unmarshal(first, &h); err != nil {
		return h, nil, fmt.Errorf("catalogue header: %w", err)
	}
	if sum := sha256.Sum256(body); hex.EncodeToString(sum[:]) != h.SHA256 {
		return h, nil, fmt.Errorf("the catalogue's lines do not match the digest in its header: it was changed by hand")
	}
	lines := bytes.Split(bytes.TrimSuffix(body, []byte("\n")), []byte("\n"))
	if len(lines) != h.Documents {
		return h, nil, fmt.Errorf("%d documents, the header says %d", len(lines), h.Documents)
	}
	return h, lines, nil
}

func quote(out *bytes.Buffer, s string) error {
	e := json.NewEncoder(out)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		return err
	}
	out.Truncate(out.Len() - 1) // the encoder's newline
	return nil
}

// writeIfChanged keeps the file's time when nothing changed.
func writeIfChanged(path string, b []byte) error {
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, b) {
		return nil
	}
	return os.WriteFile(path, b, 0o644)
}
