package store

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestFullDisk runs uploads in a process that may write files of 1 MB only: for the program that is a disk without room.
func TestFullDisk(t *testing.T) {
	if os.Getenv("LOCUS_TEST_SMALL_FILES") == "" {
		cmd := exec.Command("sh", "-c", `ulimit -f 2048 && exec "$0" "$@"`, os.Args[0], "-test.run=^TestFullDisk$", "-test.v")
		cmd.Env = append(os.Environ(), "LOCUS_TEST_SMALL_FILES=1")
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "PASS: TestFullDisk") {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	d := newDisk(t.TempDir(), JournalConfig{})
	if err := d.prepare("x"); err != nil {
		t.Fatal(err)
	}
	in := d.NewSpool()
	if err := in.Fill(bytes.NewReader(random(3 << 20))); !errors.Is(err, ErrFull) {
		t.Fatalf("fill: %v", err)
	}
	in.Drop()
	if e, err := os.ReadDir(d.incoming); err != nil || len(e) != 0 {
		t.Fatal(e, err)
	}
	in = d.NewSpool()
	if err := in.Fill(bytes.NewReader(random(500_000))); err != nil {
		t.Fatal(err)
	}
	in.Drop()
}
