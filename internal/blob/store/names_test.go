package store

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/repo/dagcbor"
)

func TestLocations(t *testing.T) {
	for text, ok := range map[string]bool{
		"data:": true, "disk:/var/blobs": true, "disk:blobs": false, "disk:": false, "": false, "/var/blobs": false,
		"s3://bucket": true, "s3://bucket/a/b?endpoint=http://127.0.0.1:9&region=x&style=virtual": true,
		"s3://b": false, "s3://user:pw@bucket": false, "s3://bucket?endpoint=ftp://x": false, "s3://bucket?style=odd": false,
		"s3://bucket?secret=x": false, "s3://bucket/a/../b": false, "s3://bucket?endpoint=https://host/path": false,
	} {
		if err := CheckLocation(text); (err == nil) != ok || err != nil && !errors.Is(err, ErrLocation) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestNames(t *testing.T) {
	schema, err := db.ParseSchema("t_7")
	if err != nil {
		t.Fatal(err)
	}
	for _, did := range []string{"did:plc:abc", "did:web:example.com%3A8080", "did:web:" + strings.Repeat("long.", 100), "did:x:../../etc", "did:x:a/b"} {
		c := dagcbor.RawCID([]byte(did))
		object := NewObject(schema, did, c)
		if parts := strings.Split(object, "/"); len(parts) != 4 || parts[2] == ".." || strings.Contains(parts[2], "..") && strings.HasPrefix(parts[2], "sha") {
			t.Errorf("%s: %s", did, object)
		}
		if got, ok := CIDOf(object); !ok || !got.Equals(c) {
			t.Errorf("%s: %v", object, got)
		}
		if s, ok := SchemaOf(object); !ok || s != schema {
			t.Errorf("%s: %v", object, s)
		}
		d := disk{incoming: "/x"}
		mark := filepath.Base(d.mark(7, object))
		if aid, back, ok := parseMark(mark); !ok || aid != 7 || back != object || len(mark) > 255 {
			t.Errorf("%s: %s", object, mark)
		}
	}
}
