package keyring_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/auroralocus/locus/internal/keyring"
)

func parse(t *testing.T, text string) *keyring.Master {
	t.Helper()
	m, err := keyring.ParseMaster(text)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// A key that is learnt opens, seals when it is said, and the one before it is refused when that is said.
func TestChangeOfMasterKeys(t *testing.T) {
	first, second := keyring.NewMasterText(1), keyring.NewMasterText(2)
	k := newRing(t, parse(t, first))
	b := keyring.Binding{Schema: "t_a", Purpose: "smtp"}
	old, err := k.Seal(b, []byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Use(2, nil); !errors.Is(err, keyring.ErrUnknownMaster) {
		t.Errorf("a key that is not there seals: %v", err)
	}
	if err := k.Learn(parse(t, keyring.NewMasterText(1))); !errors.Is(err, keyring.ErrOtherMaster) {
		t.Errorf("another key of the same id: %v", err)
	}
	if err := k.Learn(parse(t, second)); err != nil {
		t.Fatal(err)
	}
	if keys := k.Keys(); len(keys) != 2 || keys[0] != parse(t, first).Keys()[0] || keys[1] != parse(t, second).Keys()[0] || k.Current() != 1 {
		t.Errorf("%v, current %d", keys, k.Current())
	}
	if err := k.Use(2, nil); err != nil {
		t.Fatal(err)
	}
	fresh, changed, err := k.Reseal(b, old)
	if err != nil || !changed || keyring.SealedUnder(fresh) != 2 || keyring.SealedUnder(old) != 1 {
		t.Fatalf("%v %v", changed, err)
	}
	if err := k.Use(2, []byte{1}); err != nil {
		t.Fatal(err)
	}
	if got, err := k.Open(b, fresh); err != nil || !bytes.Equal(got, []byte("secret")) {
		t.Errorf("%q %v", got, err)
	}
	if _, err := k.Open(b, old); !errors.Is(err, keyring.ErrRefusedMaster) {
		t.Errorf("a refused key opens: %v", err)
	}
	if _, changed, err := k.Reseal(b, old); err != nil || !changed {
		t.Errorf("what was left behind is not mended: %v", err)
	}
	if _, err := k.Rebind(nil, b, keyring.Binding{Schema: "t_b", Purpose: "smtp"}, old); err != nil {
		t.Errorf("an old archive's value: %v", err)
	}
	alone := newRing(t, parse(t, second))
	if err := alone.Opens(b, old); !errors.Is(err, keyring.ErrUnknownMaster) {
		t.Errorf("a value of a key that is not there: %v", err)
	}
	if err := alone.Opens(b, fresh); err != nil {
		t.Error(err)
	}
}

func TestKeyOfAProgram(t *testing.T) {
	dir := t.TempDir()
	text := keyring.NewMasterText(7)
	file := filepath.Join(dir, "a key")
	if err := os.WriteFile(file, []byte("# of the service\n"+text+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	want := parse(t, text).Keys()[0]
	if m, err := keyring.CommandMaster(t.Context(), []string{"cat", file}); err != nil || m.Keys()[0] != want {
		t.Errorf("%v", err)
	}
	if m, err := keyring.ReadMaster(file); err != nil || m.Keys()[0] != want {
		t.Errorf("%v", err)
	}
	for _, c := range []struct {
		argv []string
		want string
	}{
		{nil, "no program"},
		{[]string{"cat", filepath.Join(dir, "nothing")}, "nothing"},
		{[]string{"cat", "/dev/zero"}, "more than"},
		{[]string{"echo", "$(cat", file + ")"}, "malformed"}, // no shell is between
		{[]string{filepath.Join(dir, "no program")}, "no such file"},
		{[]string{"true"}, "it is empty"},
	} {
		_, err := keyring.CommandMaster(t.Context(), c.argv)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), text[2:]) {
			t.Errorf("%q: %v", c.argv, err)
		}
	}
}

func TestAppendMaster(t *testing.T) {
	file := filepath.Join(t.TempDir(), "master.key")
	was, err := keyring.LoadOrCreateMaster(file)
	if err != nil {
		t.Fatal(err)
	}
	added, err := keyring.AppendMaster(file, 0)
	if err != nil || added.ID != 2 {
		t.Fatalf("%+v %v", added, err)
	}
	is, err := keyring.LoadMaster(file)
	if err != nil || len(is.Keys()) != 2 || is.Keys()[0] != was.Keys()[0] || is.Keys()[1] != added {
		t.Fatalf("%v %v", is.Keys(), err)
	}
	if _, err := keyring.AppendMaster(file, 1); !errors.Is(err, keyring.ErrOtherMaster) {
		t.Errorf("a second key 1: %v", err)
	}
	if entries, err := os.ReadDir(filepath.Dir(file)); err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v %v", entries, err)
	}
}
