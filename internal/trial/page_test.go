package main

import (
	"strings"
	"testing"
)

// TestPage: the page that the trial follows has the blocks and the places that it fills in.
func TestPage(t *testing.T) {
	p, err := readPage("../../docs/install.md")
	if err != nil {
		t.Fatal(err)
	}
	var typed, filled strings.Builder
	for _, b := range p.blocks {
		if len(b.what) < 5 {
			t.Errorf("a step has no words: %q", b.text)
		}
		typed.WriteString(b.text)
		filled.WriteString(p.filled(b.text, "locus_0.0.0_arm64.deb"))
	}
	for _, place := range []string{"locus_1.2.3_amd64.deb", "ACCESS KEY", "SECRET KEY", "user:password@", "region=eu"} {
		if !strings.Contains(typed.String(), place) || strings.Contains(filled.String(), place) {
			t.Errorf("%q is not in the page, or is not filled in", place)
		}
	}
	for _, command := range []string{"apt install", "createdb", "config check", "locus init", "systemctl enable", "tenant create", "account create", "mail try", "doctor"} {
		if !strings.Contains(filled.String(), command) {
			t.Errorf("nobody types %q", command)
		}
	}
}
