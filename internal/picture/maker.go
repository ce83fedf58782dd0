package picture

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
	"golang.org/x/sync/singleflight"
)

// Config bounds a Maker. Zero values take the defaults.
type Config struct {
	Dir        string        // the cache's folder; required
	CacheBytes int64         // what it may take on the disk; default 512 MiB
	Memory     int64         // what all that is being decoded may take; default 512 MiB
	Parallel   int           // how many are made at once; default half the processors
	Waiting    int           // how many more may wait; default 64
	Time       time.Duration // for one, waiting included; default 10 s
}

// Maker makes copies once and keeps them on the disk, those used last, as long as there is room. They belong to bytes,
// not to accounts: who may see them is the caller's to know.
type Maker struct {
	cfg    Config
	flight singleflight.Group
	slots  *semaphore.Weighted
	memory *semaphore.Weighted

	mu      sync.Mutex
	waiting int
	stored  int64 // about what the folder holds; -1: not counted yet
	refused map[string]refusal
}

// refusal is what was found out about a file that no copy can be made of, so that asking again costs nothing.
type refusal struct {
	err   error
	until time.Time
}

const (
	// largeMemory is what a picture takes when collecting it at once costs little beside decoding it.
	largeMemory = 64 << 20
	maxRefused  = 4096
	refusedTime = 10 * time.Minute
	// patience is what a call is given beyond the time for one picture, for a decoder to see that its time is up.
	patience = 2 * time.Second
)

// NewMaker makes a maker.
func NewMaker(cfg Config) *Maker {
	if cfg.CacheBytes == 0 {
		cfg.CacheBytes = 512 << 20
	}
	if cfg.Memory == 0 {
		cfg.Memory = 512 << 20
	}
	if cfg.Parallel == 0 {
		cfg.Parallel = max(1, runtime.GOMAXPROCS(0)/2)
	}
	if cfg.Waiting == 0 {
		cfg.Waiting = 64
	}
	if cfg.Time == 0 {
		cfg.Time = 10 * time.Second
	}
	return &Maker{cfg: cfg, slots: semaphore.NewWeighted(int64(cfg.Parallel)), memory: semaphore.NewWeighted(max(cfg.Memory, maxMemory)), stored: -1, refused: map[string]refusal{}}
}

// Open gives the copy of the file whose CID is key. open is called when it has to be made.
// Errors: [ErrFormat], [ErrTooLarge], [ErrBusy], [ErrTimeout], and open's and its file's.
func (m *Maker) Open(ctx context.Context, key string, p Preset, f Format, open func(context.Context) (io.ReadSeekCloser, error)) (io.ReadSeekCloser, error) {
	name := key + "." + p.Name + "." + string(f)
	path := filepath.Join(m.cfg.Dir, key[len(key)-2:], name)
	if file, err := m.cached(path); err == nil {
		return file, nil
	}
	if err := m.refusedBefore(key); err != nil {
		return nil, err
	}
	// Whoever waits for the same copy shares it, and with it the first one's fate, but for that one's going away.
	work := context.WithoutCancel(ctx)
	done := m.flight.DoChan(name, func() (any, error) {
		ctx, cancel := context.WithTimeout(work, m.cfg.Time)
		defer cancel()
		data, err := m.make(ctx, p, f, open)
		if err != nil {
			m.refuse(key, err)
			return nil, err
		}
		// A full disk costs work, not answers: without room the copy is made again next time.
		_ = m.store(path, data)
		return data, nil
	})
	// A decoder that does not come to an end keeps its place and its memory, so that no more can be lost than there are
	// places; those who asked need not wait for it.
	late := time.NewTimer(m.cfg.Time + patience)
	defer late.Stop()
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-late.C:
		return nil, ErrTimeout
	case r := <-done:
		if r.Err != nil {
			return nil, r.Err
		}
		return inMemory{bytes.NewReader(r.Val.([]byte))}, nil
	}
}

// inMemory is a copy that was made this moment.
type inMemory struct{ *bytes.Reader }

func (inMemory) Close() error { return nil }

func (m *Maker) refusedBefore(key string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r, ok := m.refused[key]; ok && time.Now().Before(r.until) {
		return r.err
	}
	return nil
}

// refuse remembers what is the file's own fault.
func (m *Maker) refuse(key string, err error) {
	if !errors.Is(err, ErrFormat) && !errors.Is(err, ErrTooLarge) && !errors.Is(err, ErrTimeout) {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.refused) >= maxRefused {
		clear(m.refused)
	}
	until := time.Now().Add(refusedTime)
	if errors.Is(err, ErrTimeout) { // or the machine's, or the store's
		until = time.Now().Add(refusedTime / 10)
	}
	m.refused[key] = refusal{err, until}
}

// cached opens a copy and notes that it was used.
func (m *Maker) cached(path string) (*os.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err == nil && time.Since(info.ModTime()) > time.Hour {
		_ = os.Chtimes(path, time.Time{}, time.Now())
	}
	return f, nil
}

func (m *Maker) make(ctx context.Context, p Preset, f Format, open func(context.Context) (io.ReadSeekCloser, error)) ([]byte, error) {
	m.mu.Lock()
	if m.waiting >= m.cfg.Waiting+m.cfg.Parallel {
		m.mu.Unlock()
		return nil, ErrBusy
	}
	m.waiting++
	m.mu.Unlock()
	defer func() {
		m.mu.Lock()
		m.waiting--
		m.mu.Unlock()
	}()
	if m.slots.Acquire(ctx, 1) != nil {
		return nil, ErrBusy
	}
	defer m.slots.Release(1)
	src, err := open(ctx)
	if err != nil {
		return nil, err
	}
	defer src.Close()
	r := &timely{ctx: ctx, ReadSeeker: src}
	h, err := carefully(func() (head, error) { return inspect(r) })
	if err != nil {
		return nil, r.blame(err)
	}
	if m.memory.Acquire(ctx, h.memory) != nil {
		return nil, ErrBusy
	}
	defer func() {
		// What is given back must be free, or the next one's comes on top of this one's.
		if h.memory > workMemory+largeMemory {
			runtime.GC()
		}
		m.memory.Release(h.memory)
	}()
	data, err := carefully(func() ([]byte, error) { return render(r, h, p, f) })
	return data, r.blame(err)
}

// carefully makes a decoder's panic an error: a stranger's file must not end the process.
func carefully[T any](do func() (T, error)) (result T, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v\n%s", ErrFormat, p, debug.Stack())
		}
	}()
	return do()
}

// timely ends a decoder's reading when the time is up, and remembers why reading failed.
type timely struct {
	ctx context.Context
	io.ReadSeeker
	failed error
}

func (t *timely) Read(p []byte) (int, error) {
	if err := t.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := t.ReadSeeker.Read(p)
	if err != nil && err != io.EOF {
		t.failed = err
	}
	return n, err
}

// blame says what an error is to be called: decoders wrap all alike, but a store that fails is not the picture's fault.
func (t *timely) blame(err error) error {
	switch {
	case err == nil:
		return nil
	case t.ctx.Err() != nil:
		return fmt.Errorf("%w: %v", ErrTimeout, err)
	case t.failed != nil:
		return fmt.Errorf("read picture: %w", t.failed)
	}
	return err
}

// store puts a copy into the cache, whole or not at all.
func (m *Maker) store(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return fmt.Errorf("cache picture: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return fmt.Errorf("cache picture: %w", err)
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync() // or a power cut could leave a name without its bytes
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return fmt.Errorf("cache picture: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stored < 0 {
		m.stored = 0
		m.evict(path)
	} else if m.stored += int64(len(data)); m.stored > m.cfg.CacheBytes {
		m.evict(path)
	}
	return nil
}

// evict counts what is there, and deletes what was used longest ago until a fifth is free; keep was made this moment.
// Processes that share the folder each do so: what one deletes the other does not count. Under m.mu.
func (m *Maker) evict(keep string) {
	type copied struct {
		path string
		size int64
		used time.Time
	}
	var all []copied
	total := int64(0)
	_ = filepath.WalkDir(m.cfg.Dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return nil
		}
		info, err := e.Info()
		if err != nil {
			return nil
		}
		if strings.HasPrefix(e.Name(), ".new-") && time.Since(info.ModTime()) > time.Hour {
			_ = os.Remove(path) // a crash's
			return nil
		}
		total += info.Size()
		if path != keep {
			all = append(all, copied{path, info.Size(), info.ModTime()})
		}
		return nil
	})
	if total > m.cfg.CacheBytes {
		slices.SortFunc(all, func(a, b copied) int { return a.used.Compare(b.used) })
		for _, c := range all {
			if total <= m.cfg.CacheBytes/5*4 {
				break
			}
			if os.Remove(c.path) == nil {
				total -= c.size
			}
		}
	}
	m.stored = total
}
