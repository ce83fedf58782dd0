package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

// header is the first line of the catalogue: where it comes from, under which licence, and the digest of
// the package's lines, which follow, so that a check without network still notices an edit by hand. Behind them are our
// own documents, which are held against their files.
type header struct {
	Package   string `json:"package"`
	Version   string `json:"version"`
	License   string `json:"license"`
	Copyright string `json:"copyright"`
	Documents int    `json:"documents"` // of the package
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

// splitCatalogue checks a catalogue's header against the package's lines, and returns both and our own lines.
func splitCatalogue(b []byte) (h header, lines, own [][]byte, err error) {
	first, body, ok := bytes.Cut(b, []byte("\n"))
	if !ok {
		return h, nil, nil, fmt.Errorf("empty catalogue")
	}
	if err := json.Unmarshal(first, &h); err != nil {
		return h, nil, nil, fmt.Errorf("catalogue header: %w", err)
	}
	sum := sha256.New()
	for line := range bytes.Lines(body) {
		text := bytes.TrimSuffix(line, []byte("\n"))
		if len(lines) == h.Documents {
			own = append(own, text)
			continue
		}
		sum.Write(line)
		lines = append(lines, text)
	}
	if len(lines) != h.Documents {
		return h, nil, nil, fmt.Errorf("%d documents, the header says %d", len(lines), h.Documents)
	}
	if hex.EncodeToString(sum.Sum(nil)) != h.SHA256 {
		return h, nil, nil, fmt.Errorf("the catalogue's lines do not match the digest in its header: it was changed by hand")
	}
	return h, lines, own, nil
}

// ownDocuments reads our own lexicons, one a file whose path is its name. Their descriptions stay: they become the
// documentation of our methods.
func ownDocuments(dir string) ([]byte, error) {
	var out bytes.Buffer
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error { // in lexical order
		if err != nil || e.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var d struct {
			Lexicon int    `json:"lexicon"`
			ID      string `json:"id"`
		}
		if err := json.Unmarshal(text, &d); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if want := filepath.Join(dir, filepath.Join(strings.Split(d.ID, ".")...)) + ".json"; d.Lexicon != 1 || path != want {
			return fmt.Errorf("%s holds %q, version %d: it belongs into %s", path, d.ID, d.Lexicon, want)
		}
		if err := json.Compact(&out, text); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		return out.WriteByte('\n')
	})
	return out.Bytes(), err
}

// replaceOwn is a catalogue with our own documents as they are in dir.
func replaceOwn(catalogue []byte, dir string) ([]byte, error) {
	_, lines, _, err := splitCatalogue(catalogue)
	if err != nil {
		return nil, err
	}
	own, err := ownDocuments(dir)
	if err != nil {
		return nil, err
	}
	first, _, _ := bytes.Cut(catalogue, []byte("\n"))
	out := append(bytes.Clone(first), '\n')
	for _, line := range lines {
		out = append(append(out, line...), '\n')
	}
	return append(out, own...), nil
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
