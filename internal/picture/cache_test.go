package picture

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestFloodPushesOutItsOwnCopies: however many copies one scope has made, another's that are older stay.
func TestFloodPushesOutItsOwnCopies(t *testing.T) {
	m := newMaker(t, Config{CacheBytes: 100_000})
	path := func(scope string, i int) string {
		return filepath.Join(m.cfg.Dir, scope, "aa", fmt.Sprintf("key%03d", i))
	}
	write := func(scope string, i, size int) {
		t.Helper()
		if err := m.store(path(scope, i), make([]byte, size)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 20 {
		write("quiet", i, 1000)
		if err := os.Chtimes(path("quiet", i), time.Time{}, time.Now().Add(-time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 60 {
		write("flood", i, 5000)
	}
	for i := range 20 {
		if _, err := os.Stat(path("quiet", i)); err != nil {
			t.Errorf("copy %d of the quiet scope: %v", i, err)
		}
	}
	left, err := os.ReadDir(filepath.Dir(path("flood", 0)))
	if err != nil || len(left) > 16 || len(left) < 6 {
		t.Errorf("%d copies of the flood are left, %v", len(left), err)
	}
}
