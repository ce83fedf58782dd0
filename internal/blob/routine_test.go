package blob

import (
	"slices"
	"sync"
	"testing"
)

// TestRoutine: commits of records are routine, so that a tenant is not looked at after each; what has files removed soon,
// or at some date, is not.
func TestRoutine(t *testing.T) {
	b := newBed(t, "")
	alice := b.account()
	info := b.upload(alice, random(1000)) // and whatever else is done once
	b.mustWrite(alice, "first", record("x"))
	var mu sync.Mutex
	var told []bool
	b.db.OnWrite(func(schema string, routine bool) {
		mu.Lock()
		defer mu.Unlock()
		if schema == b.schema.String() {
			told = append(told, routine)
		}
	})
	for _, step := range []struct {
		what string
		do   func()
		want []bool
	}{
		{"upload", func() { b.upload(alice, random(1000)) }, []bool{false}},
		{"record without blobs", func() { b.mustWrite(alice, "plain", record("x")) }, []bool{true}},
		{"record that names a blob", func() { b.mustWrite(alice, "with", record("x", info)) }, []bool{true}},
		{"replaced record without blobs", func() { b.mustWrite(alice, "plain", record("y")) }, []bool{true}},
		{"replaced record, of the same blob", func() { b.mustWrite(alice, "with", record("y", info)) }, []bool{true}},
		{"deleted record without blobs", func() { b.mustWrite(alice, "plain", nil) }, []bool{true}},
		{"deleted record, the last of its blob", func() { b.mustWrite(alice, "with", nil) }, []bool{false}},
	} {
		mu.Lock()
		told = nil
		mu.Unlock()
		step.do()
		mu.Lock()
		if !slices.Equal(told, step.want) {
			t.Errorf("%s: told %v, want %v", step.what, told, step.want)
		}
		mu.Unlock()
	}
}
