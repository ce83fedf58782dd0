package blob

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestPlaceTriedOnly: a place that does not work is not among the tenant's places after it was tried, so that verify
// and removal, which ask all of them, do not fail by it.
func TestPlaceTriedOnly(t *testing.T) {
	b := newBed(t, "")
	alice := b.account()
	b.upload(alice, random(5))
	if err := os.WriteFile(filepath.Join(b.dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, location := range []string{
		"s3://nowhere/x?endpoint=http://127.0.0.1:1", "disk:" + filepath.Join(b.dir, "file", "below"), "disk:relative",
	} {
		if err := b.blobs.Stores.Try(t.Context(), b.schema, location, nil); err == nil {
			t.Errorf("%s works", location)
		}
	}
	if err := b.blobs.Stores.learn(t.Context(), b.schema); err != nil {
		t.Fatal(err)
	}
	if sites := b.blobs.Stores.known(b.schema); len(sites) != 1 {
		t.Errorf("places: %+v", sites)
	}
	if kinds, sum := b.verify(VerifyOptions{Deep: true}); len(kinds) != 0 || sum.Blobs != 1 {
		t.Error(kinds, sum)
	}
}

// TestVerifyGivenUpPlace: a place that nothing is in any more may be gone; one that files are in is told, and verify
// goes on.
func TestVerifyGivenUpPlace(t *testing.T) {
	t.Parallel()
	b := newBed(t, "")
	alice := b.account()
	b.upload(alice, random(5))
	for i, gone := range []string{"s3://nowhere/x?endpoint=http://127.0.0.1:1", "disk:relative"} {
		b.exec("INSERT INTO pds.tenant_item (kind, key, number, value, lookup) VALUES (11, int2send($1::smallint), $1::smallint, $2, convert_to($2, 'UTF8'))", 50+i, gone)
	}
	kinds, sum := b.verify(VerifyOptions{})
	if len(kinds) != 0 || sum.StoresChecked != 1 || sum.Objects != 1 {
		t.Error(kinds, sum)
	}
	b.exec("UPDATE pds.blob SET store = 51")
	kinds, sum = b.verify(VerifyOptions{})
	if got := strings.Join(kinds, " "); !strings.Contains(got, "unreadable") || sum.Problems == 0 {
		t.Error(kinds, sum)
	}
	if err := b.blobs.Stores.Try(t.Context(), b.schema, "disk:relative", nil); !errors.Is(err, ErrLocation) {
		t.Errorf("%v", err)
	}
}
