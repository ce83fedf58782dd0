package main

import (
	"maps"
	"strings"
	"testing"
)

func TestNodeFlags(t *testing.T) {
	f := nodeFlags{DatabaseNode: []string{"b=postgres://u@h1,h2/locus?port=1,2,c=postgresql://h3/x?a=b\n d=postgres://h4/y"}}
	got, err := f.nodes()
	want := map[string]string{"b": "postgres://u@h1,h2/locus?port=1,2", "c": "postgresql://h3/x?a=b", "d": "postgres://h4/y"}
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("%q: %v", got, err)
	}
	for _, bad := range []string{"postgres://h/x", "b=", "b=mysql://h/x", "B=postgres://h/x", "home=postgres://h/x", "b=postgres://h/x,b=postgres://i/x", "b=host=h password=secret"} {
		_, err := nodeFlags{DatabaseNode: []string{bad}}.nodes()
		if err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
