package store

import (
	"context"
	"testing"
)

// TestLabelOvertaken: between a label's note in the database and its counting, another process finds the note and makes
// it count. Both use the store.
func TestLabelOvertaken(t *testing.T) {
	dir := t.TempDir()
	open := func() *Store {
		d := newDisk(dir, JournalConfig{})
		t.Cleanup(d.close)
		return &Store{Objects: d, Location: "disk:" + dir}
	}
	one, other := open(), open()
	err := one.Label(t.Context(), func(id string) (bool, error) {
		return true, other.find(context.Background(), id)
	})
	if err != nil {
		t.Error(err)
	}
}
