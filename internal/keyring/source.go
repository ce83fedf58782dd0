package keyring

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

const (
	// commandTime bounds a program that gives the master key. A key service is far away now and then.
	commandTime = 30 * time.Second
	// commandPatience is how long its output may stay open after its end: it left something behind that holds it.
	commandPatience = time.Second
	// maxComplaint bounds what is told of what it wrote to its standard error.
	maxComplaint = 1000
)

// ReadMaster reads a file that somebody else looks after, such as a secret that a container platform mounts: who may read
// it is not asked.
func ReadMaster(path string) (*Master, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open master key: %w", err)
	}
	defer f.Close()
	return readMaster(f, path)
}

func readMaster(f io.Reader, name string) (*Master, error) {
	text, err := io.ReadAll(io.LimitReader(f, maxMasterFile+1))
	if err != nil {
		return nil, fmt.Errorf("read master key: %w", err)
	}
	defer clear(text)
	if len(text) > maxMasterFile {
		return nil, fmt.Errorf("read %s: %w: it is longer than %d bytes", name, ErrMaster, maxMasterFile)
	}
	m, err := ParseMaster(string(text))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return m, nil
}

// CommandMaster runs a program that prints the master key, in the form of [ParseMaster], on its standard output: it asks a
// key service. No shell is between. Its time and its output are bounded, and it is told nothing on its standard input.
func CommandMaster(ctx context.Context, argv []string) (*Master, error) {
	if len(argv) == 0 {
		return nil, fmt.Errorf("%w: no program is named", ErrMaster)
	}
	ctx, cancel := context.WithTimeout(ctx, commandTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	out, complaint := &bounded{most: maxMasterFile}, &bounded{most: maxComplaint, drop: true}
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = out, complaint, commandPatience
	defer func() { clear(out.held.Bytes()) }()
	if err := cmd.Run(); err != nil {
		switch {
		case out.full:
			err = fmt.Errorf("it printed more than %d bytes", maxMasterFile)
		case errors.Is(ctx.Err(), context.DeadlineExceeded):
			err = fmt.Errorf("it did not end within %s", commandTime)
		}
		if said := strings.TrimSpace(complaint.held.String()); said != "" {
			err = fmt.Errorf("%w: %s", err, said)
		}
		return nil, fmt.Errorf("master key of the program %s: %w", argv[0], err)
	}
	return readMaster(bytes.NewReader(out.held.Bytes()), "what "+argv[0]+" printed")
}

// bounded takes so many bytes, and then fails or, with drop, takes no notice. It has no other methods than Write: a copy
// would use those and go round the bound.
type bounded struct {
	held bytes.Buffer
	most int
	drop bool
	full bool
}

func (b *bounded) Write(p []byte) (int, error) {
	if room := b.most - b.held.Len(); len(p) > room {
		if b.full = true; !b.drop {
			return 0, io.ErrShortWrite
		}
		_, _ = b.held.Write(p[:room]) // a buffer takes everything
		return len(p), nil
	}
	return b.held.Write(p)
}

// NewMasterText makes a random master key as a line for the configuration, such as 2:9f….
func NewMasterText(id byte) string {
	var key [masterSize]byte
	_, _ = rand.Read(key[:]) // never fails: the runtime ends the process instead
	defer clear(key[:])
	return fmt.Sprintf("%d:%x", id, key)
}

// AppendMaster writes a new random key behind those of a file; id 0: the number above theirs. The file is replaced as a
// whole, so that a crash leaves the old one or the new one. Errors: also [ErrOtherMaster].
func AppendMaster(path string, id byte) (Key, error) {
	next := path + ".new"
	f, err := os.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return Key{}, fmt.Errorf("%s is there: somebody else changes the keys at this moment, or did not come to an end; delete it then", next)
	}
	if err != nil {
		return Key{}, fmt.Errorf("add a master key: %w", err)
	}
	defer os.Remove(next)
	defer f.Close()
	old, err := os.ReadFile(path)
	if err != nil {
		return Key{}, fmt.Errorf("add a master key: %w", err)
	}
	defer clear(old)
	m, err := LoadMaster(path)
	if err != nil {
		return Key{}, err
	}
	for _, k := range m.Keys() {
		if k.ID == id {
			return Key{}, fmt.Errorf("%w: %d", ErrOtherMaster, id)
		}
	}
	if id == 0 {
		if id, err = nextID(m); err != nil {
			return Key{}, err
		}
	}
	text := append(bytes.TrimRight(old, "\n"), []byte("\n"+NewMasterText(id)+"\n")...)
	defer clear(text)
	is, err := ParseMaster(string(text))
	if err != nil {
		return Key{}, err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync()); err == nil {
		err = os.Rename(next, path)
	}
	if err != nil {
		return Key{}, fmt.Errorf("add a master key: %w", err)
	}
	if d, err := os.Open(filepath.Dir(path)); err == nil {
		_ = d.Sync() // some file systems cannot; the key itself is already on disk
		_ = d.Close()
	}
	keys := is.Keys()
	return keys[len(keys)-1], nil
}

func nextID(m *Master) (byte, error) {
	most := byte(0)
	for _, k := range m.keys() {
		most = max(most, k.id)
	}
	if most == 255 {
		return 0, fmt.Errorf("%w: 255 is the highest id; say which one is free", ErrMaster)
	}
	return most + 1, nil
}
