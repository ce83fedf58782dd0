package picture

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
	"golang.org/x/sync/singleflight"

	"github.com/auroralocus/locus/internal/cache"
	"github.com/auroralocus/locus/internal/fair"
)

// Config bounds a Maker. Zero values take the defaults.
type Config struct {
	Dir        string        // the cache's folder; required
	CacheBytes int64         // what it may take on the disk; default 512 MiB
	Memory     int64         // what all that is being decoded may take; default 512 MiB
	Parallel   int           // how many are made at once; default half the processors
	Waiting    int           // how many more may wait, half of them in one scope; default 64
	Time       time.Duration // to take one in, to wait, and to decode, each; default 10 s
}

// Maker makes copies once and keeps them on the disk, those used last, as long as there is room. They belong to bytes
// within a scope (a tenant), not to accounts: who may see them is the caller's to know. Scopes share nothing, because
// the stores that they read may be in different hands: one that gives other bytes than it was given, or none for a long
// time, harms nobody else.
type Maker struct {
	cfg    Config
	flight singleflight.Group
	slots  *semaphore.Weighted
	memory *semaphore.Weighted

	mu      sync.Mutex
	waiting int
	scopes  map[string]*scope // those with something on its way
	stored  int64             // about what the folder holds
	counted time.Time
	refused *cache.Cache[string, refusal]
}

// scope is what one scope has on its way.
type scope struct {
	waiting int
	// turn lets as many of one scope wait for a slot as there are slots: whoever comes from another scope then waits
	// for these, not for all that the first one asked for.
	turn *semaphore.Weighted
}

// refusal is what was found out about a file that no copy can be made of, so that asking again costs nothing.
type refusal struct {
	err   error
	until time.Time
}

const (
	// largeMemory is what a picture takes when collecting it at once costs little beside decoding it.
	largeMemory  = 64 << 20
	refusedBytes = 2 << 20 // what is remembered of files that no copy can be made of, some 5,000
	refusedTime  = 10 * time.Minute
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
		cfg.Parallel = max(1, fair.Processors/2)
	}
	if cfg.Waiting == 0 {
		cfg.Waiting = 64
	}
	if cfg.Time == 0 {
		cfg.Time = 10 * time.Second
	}
	return &Maker{cfg: cfg, slots: semaphore.NewWeighted(int64(cfg.Parallel)), memory: semaphore.NewWeighted(max(cfg.Memory, maxMemory)), scopes: map[string]*scope{}, refused: cache.New[string, refusal](refusedBytes, time.Now)}
}

// Open gives the copy of the file whose CID is key, in a scope, which is a folder's name. open is called when it has to
// be made; what it gives is read from where it is when it is a file of this machine ([fs.File]), and else taken in
// before. Errors: [ErrFormat], [ErrTooLarge], [ErrBusy], [ErrTimeout], and open's and its file's.
func (m *Maker) Open(ctx context.Context, in, key string, p Preset, f Format, open func(context.Context) (io.ReadSeekCloser, error)) (io.ReadSeekCloser, error) {
	name := key + "." + p.Name + "." + string(f)
	path := filepath.Join(m.cfg.Dir, in, key[len(key)-2:], name)
	key = in + "/" + key
	if file, err := m.cached(path); err == nil {
		return file, nil
	}
	if err := m.refusedBefore(key); err != nil {
		return nil, err
	}
	// Whoever waits for the same copy shares it, and with it the first one's fate, but for that one's going away.
	work := context.WithoutCancel(ctx)
	done := m.flight.DoChan(in+"/"+name, func() (any, error) {
		data, err := m.make(work, in, p, f, open)
		if err != nil {
			m.refuse(in, key, err)
			return nil, err
		}
		// A full disk costs work, not answers: without room the copy is made again next time.
		_ = m.store(path, data)
		return data, nil
	})
	// A decoder that does not come to an end keeps its place and its memory, so that no more can be lost than there are
	// places; those who asked need not wait for it.
	late := time.NewTimer(3*m.cfg.Time + patience)
	defer late.Stop()
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-late.C:
		m.refuse(in, key, ErrTimeout) // when the decoder ends is another matter
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
	if r, ok := m.refused.Get(key); ok && time.Now().Before(r.until) {
		return r.err
	}
	return nil
}

// refuse remembers what is the file's own fault.
func (m *Maker) refuse(in, key string, err error) {
	var kind error // without what a decoder said, which may be long
	for _, k := range []error{ErrTimeout, ErrFormat, ErrTooLarge} {
		if errors.Is(err, k) {
			kind = k
			break
		}
	}
	if kind == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	until := time.Now().Add(refusedTime)
	if errors.Is(err, ErrTimeout) { // or the machine's, or the store's
		until = time.Now().Add(refusedTime / 10)
	}
	m.refused.Put(in, key, refusal{kind, until}, int64(len(key))+64)
}

// enter counts one more that waits, unless there are too many; leave ends that.
func (m *Maker) enter(in string) (*scope, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := m.cfg.Waiting + m.cfg.Parallel
	s := m.scopes[in]
	if m.waiting >= all || s != nil && s.waiting >= max(1, all/2) {
		return nil, ErrBusy
	}
	if s == nil {
		s = &scope{turn: semaphore.NewWeighted(int64(m.cfg.Parallel))}
		m.scopes[in] = s
	}
	m.waiting++
	s.waiting++
	return s, nil
}

func (m *Maker) leave(in string, s *scope) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.waiting--
	if s.waiting--; s.waiting == 0 {
		delete(m.scopes, in)
	}
}

func (m *Maker) make(ctx context.Context, in string, p Preset, f Format, open func(context.Context) (io.ReadSeekCloser, error)) ([]byte, error) {
	scope, err := m.enter(in)
	if err != nil {
		return nil, err
	}
	defer m.leave(in, scope)
	fetching, fetched := context.WithTimeout(ctx, m.cfg.Time)
	defer fetched()
	src, err := open(fetching)
	if err != nil {
		return nil, err
	}
	defer src.Close()
	here, err := m.fetch(fetching, src)
	if err != nil {
		return nil, err
	}
	defer here.Close()
	// Waiting does not count against the time for decoding: others' pictures are not this one's fault.
	waiting, waited := context.WithTimeout(ctx, m.cfg.Time)
	defer waited()
	if scope.turn.Acquire(waiting, 1) != nil {
		return nil, ErrBusy
	}
	defer scope.turn.Release(1)
	if m.slots.Acquire(waiting, 1) != nil {
		return nil, ErrBusy
	}
	defer m.slots.Release(1)
	ctx, cancel := context.WithTimeout(ctx, m.cfg.Time)
	defer cancel()
	r := &timely{ctx: ctx, ReadSeeker: here}
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
