package keyring_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/auroralocus/locus/internal/keyring"
)

var (
	hexA = strings.Repeat("a1", 32)
	hexB = strings.Repeat("b2", 32)
)

func TestParseMaster(t *testing.T) {
	for text, ok := range map[string]bool{
		hexA:                            true,
		"1:" + hexA:                     true,
		"2:" + hexB + ",1:" + hexA:      true,
		"# note\n\n3:" + hexA + "\r\n":  true,
		"":                              false,
		"# only a note":                 false,
		"0:" + hexA:                     false,
		"256:" + hexA:                   false,
		"x:" + hexA:                     false,
		hexA[2:]:                        false,
		hexA + "00":                     false,
		"1:" + hexA + ",1:" + hexB:      false,
		"1:" + strings.Repeat("zz", 32): false,
	} {
		if _, err := keyring.ParseMaster(text); (err == nil) != ok || (!ok && !errors.Is(err, keyring.ErrMaster)) {
			t.Errorf("%.20q…: %v", text, err)
		}
	}
}

func TestMasterRotation(t *testing.T) {
	parse := func(s string) *keyring.Master {
		m, err := keyring.ParseMaster(s)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	old, both, only := newRing(t, parse("1:"+hexA)), newRing(t, parse("2:"+hexB+" 1:"+hexA)), newRing(t, parse("2:"+hexB))
	sealed, didKey, err := old.GenerateRotationKey("t_a")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := only.RotationSigner("t_a", sealed); !errors.Is(err, keyring.ErrUnknownMaster) {
		t.Errorf("without the old master: %v", err)
	}
	fresh, changed, err := both.Reseal(keyring.RotationKeyBinding("t_a"), sealed)
	if err != nil || !changed {
		t.Fatal(changed, err)
	}
	s, err := only.RotationSigner("t_a", fresh)
	if err != nil || s.PublicDIDKey() != didKey {
		t.Fatalf("resealed: %v", err)
	}
	if _, changed, err := both.Reseal(keyring.RotationKeyBinding("t_a"), fresh); changed || err != nil {
		t.Errorf("second reseal: changed %v, %v", changed, err)
	}
	if _, _, err := both.Reseal(keyring.RotationKeyBinding("t_b"), sealed); !errors.Is(err, keyring.ErrSealed) {
		t.Errorf("reseal for another tenant: %v", err)
	}
}

func TestLoadOrCreateMaster(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data", "master.key")
	rings := make([]*keyring.Keyring, 8)
	var wg sync.WaitGroup
	for i := range rings {
		wg.Go(func() {
			m, err := keyring.LoadOrCreateMaster(path)
			if err != nil {
				t.Error(err)
				return
			}
			rings[i], _ = keyring.New(m, 0)
		})
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
	b := keyring.Binding{Schema: "t_a", Purpose: "x"}
	sealed, _ := rings[0].Seal(b, []byte("x"))
	for i, k := range rings {
		if _, err := k.Open(b, sealed); err != nil {
			t.Errorf("process %d made another key: %v", i, err)
		}
	}
	st, err := os.Stat(path)
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, %v", st.Mode(), err)
	}
	left, _ := os.ReadDir(filepath.Dir(path))
	if len(left) != 1 {
		t.Errorf("%d files left in the directory", len(left))
	}

	for _, mode := range []os.FileMode{0o640, 0o604, 0o644, 0o660} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := keyring.LoadOrCreateMaster(path); !errors.Is(err, keyring.ErrMasterPermissions) {
			t.Errorf("mode %o: %v", mode, err)
		}
	}
	_ = os.Chmod(path, 0o600)
	_ = os.WriteFile(path, []byte("garbage"), 0o600)
	if _, err := keyring.LoadOrCreateMaster(path); !errors.Is(err, keyring.ErrMaster) {
		t.Errorf("garbage: %v", err)
	}
	if _, err := keyring.LoadOrCreateMaster(t.TempDir()); err == nil {
		t.Error("a directory was taken for a key")
	}
}
