package keyring

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// masterSize is the length of a master key in bytes.
const masterSize = 32

// maxMasterFile bounds what is read of a master key file: 255 keys fit.
const maxMasterFile = 32 << 10

// Master is the deployment's set of master keys. All open, so that a master key can be replaced while old rows are still
// being resealed. Which one seals, [Keyring.Use] says; before anybody has said so it is the first.
type Master struct {
	hidden
	keys func() []masterKey
}

type masterKey struct {
	id  byte
	key [masterSize]byte
}

// ParseMaster reads the form used in environment variables and in the file:
// keys separated by commas, spaces or newlines, each `id:hex` with an id of
// 1–255 and 64 hex digits, the current key first. 64 bare hex digits are key 1.
// Lines that start with # are ignored.
func ParseMaster(text string) (*Master, error) {
	var keys []masterKey
	seen := map[byte]bool{}
	for line := range strings.Lines(text) {
		if strings.HasPrefix(strings.TrimSpace(line), "#") {
			continue
		}
		for _, field := range strings.FieldsFunc(line, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' || r == '\n' || r == '\r' }) {
			idText, hexText, ok := strings.Cut(field, ":")
			if !ok {
				idText, hexText = "1", field
			}
			id, err := strconv.ParseUint(idText, 10, 8)
			if err != nil || id == 0 {
				return nil, fmt.Errorf("%w: ids are 1 to 255", ErrMaster)
			}
			raw, err := hex.DecodeString(hexText)
			if err != nil || len(raw) != masterSize {
				return nil, fmt.Errorf("%w: a key is %d hex digits", ErrMaster, 2*masterSize)
			}
			if seen[byte(id)] {
				return nil, fmt.Errorf("%w: id %d occurs twice", ErrMaster, id)
			}
			seen[byte(id)] = true
			keys = append(keys, masterKey{byte(id), [masterSize]byte(raw)})
			clear(raw)
		}
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("%w: it is empty", ErrMaster)
	}
	return newMaster(keys), nil
}

// GenerateMaster makes a random master key with id 1, for tests and throw-away
// deployments: what it seals is lost with the process.
func GenerateMaster() *Master {
	k := masterKey{id: 1}
	_, _ = rand.Read(k.key[:]) // never fails: the runtime ends the process instead
	return newMaster([]masterKey{k})
}

func newMaster(keys []masterKey) *Master {
	return &Master{keys: func() []masterKey { return keys }}
}

// LoadOrCreateMaster reads the master key file, or makes it (mode 0600, in a
// directory of mode 0700) with a fresh key. Processes that start at the same
// time agree on one key. A file that others may read is refused with
// [ErrMasterPermissions] rather than repaired: its key may be known already.
func LoadOrCreateMaster(path string) (*Master, error) {
	m, err := LoadMaster(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return m, err
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("create the master key's directory: %w", err)
	}
	f, err := os.CreateTemp(dir, ".master-*") // mode 0600
	if err != nil {
		return nil, fmt.Errorf("create master key: %w", err)
	}
	defer os.Remove(f.Name())
	k := GenerateMaster()
	_, err = fmt.Fprintf(f, "# Seals every private key in the database. Keep a copy elsewhere: without it they are lost.\n1:%x\n", k.keys()[0].key)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return nil, fmt.Errorf("write master key: %w", err)
	}
	// A link, unlike a rename, never replaces the key another process has just made.
	if err := os.Link(f.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("create master key: %w", err)
	}
	if d, err := os.Open(dir); err == nil {
		_ = d.Sync() // some file systems cannot; the key itself is already on disk
		_ = d.Close()
	}
	return LoadMaster(path)
}

// LoadMaster reads an existing master key file; fs.ErrNotExist when there is none.
func LoadMaster(path string) (*Master, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open master key: %w", err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("open master key: %w", err)
	}
	if !st.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: %s is not a file", ErrMaster, path)
	}
	if st.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%w: %s has mode %04o", ErrMasterPermissions, path, st.Mode().Perm())
	}
	return readMaster(f, path)
}
