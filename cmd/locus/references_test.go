package main

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	referenceLine = regexp.MustCompile(`// spec:\x20(.+)$`)
	remark        = regexp.MustCompile(` \([^()]*\)`)
	lexiconOf     = regexp.MustCompile(`^lexicon ([a-zA-Z0-9.]+)(#[a-zA-Z]+)?$`)
	standard      = regexp.MustCompile(`^(RFC [0-9]+|SEC [0-9]|UAX #29|PNG|ICC\.1:2022|IPTC IIM 4\.2|WebAuthn|WCAG 2\.2|Adobe Photoshop File Formats)(,? [^#]+)?$`)
)

// elsewhere are pages without anchors of their own.
var elsewhere = map[string]bool{
	"https://ipld.io/specs/transport/car/carv1/":                             true,
	"https://dasl.ing/drisl.html":                                            true,
	"behaviour of the reference server":                                      true,
	"behaviour of the reference server; docs/limits.md has them for people.": true,
}

// TestReferences: a comment that names a specification names a place that there is: an anchor of testdata/anchors.txt, a
// lexicon of the catalogue, or a section of a standard. A remark may follow in parentheses.
func TestReferences(t *testing.T) {
	anchors := map[string]bool{}
	text, err := os.ReadFile("testdata/anchors.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		page, rest, _ := strings.Cut(line, " ")
		for _, anchor := range strings.Fields(rest) {
			anchors[page+"#"+anchor] = true
		}
	}
	catalogue, err := os.ReadFile("../../internal/lexicon/catalogue.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	known := func(ref string) bool {
		if m := lexiconOf.FindStringSubmatch(ref); m != nil {
			return bytes.Contains(catalogue, []byte(`"id":"`+m[1]+`"`))
		}
		return anchors[ref] || elsewhere[ref] || standard.MatchString(ref)
	}
	seen := 0
	err = filepath.WalkDir("../..", func(file string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || filepath.Ext(file) != ".go" || strings.Contains(filepath.ToSlash(file), "openapi/clients/") {
			return err
		}
		source, err := os.ReadFile(file)
		for line := range strings.Lines(string(source)) {
			m := referenceLine.FindStringSubmatch(strings.TrimRight(line, "\n"))
			if m == nil {
				continue
			}
			seen++
			refs := []string{remark.ReplaceAllString(m[1], "")}
			if !standard.MatchString(refs[0]) {
				refs = strings.Split(refs[0], ", ")
			}
			for _, ref := range refs {
				if !known(ref) {
					t.Errorf("%s: %q is no place that is known: correct it, or add it to testdata/anchors.txt", file, ref)
				}
			}
		}
		return err
	})
	if err != nil || seen < 100 {
		t.Fatalf("%d references: %v", seen, err)
	}
}
