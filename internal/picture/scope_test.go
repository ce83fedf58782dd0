package picture

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// stalled is a store's answer that says how long it is and then does not come.
type stalled struct {
	*bytes.Reader
	ctx context.Context
}

func (s stalled) Read([]byte) (int, error) { <-s.ctx.Done(); return 0, errors.New("no answer in time") }
func (stalled) Close() error               { return nil }

// TestStalledStore: a tenant whose store does not answer waits for itself; others get their copies meanwhile.
func TestStalledStore(t *testing.T) {
	m := newMaker(t, Config{Parallel: 1, Waiting: 20, Time: 20 * time.Second})
	p, _ := FindPreset("avatar")
	data := asPNG(t, quarters(100, 100))
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for i := range 40 {
		all.Go(func() {
			_, err := m.Open(t.Context(), "slow", fmt.Sprint("key", i), p, JPEG, func(context.Context) (io.ReadSeekCloser, error) {
				return stalled{bytes.NewReader(data), ctx}, nil
			})
			if err == nil || errors.Is(err, ErrFormat) {
				t.Error(err)
			}
		})
	}
	for calm := 0; calm < 10; calm++ { // until as many wait as may
		m.mu.Lock()
		if m.waiting < 10 {
			calm = -1
		}
		m.mu.Unlock()
		time.Sleep(10 * time.Millisecond)
	}
	begun := time.Now()
	for i := range 5 {
		f, err := m.Open(t.Context(), "other", fmt.Sprint("key", i), p, JPEG, opener(data))
		if err != nil {
			t.Fatalf("while another tenant's store stalls: %v", err)
		}
		_ = f.Close()
	}
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("took %s", took)
	}
	cancel()
	all.Wait()
	if len(m.scopes) != 0 || m.waiting != 0 {
		t.Errorf("%d scopes, %d waiting", len(m.scopes), m.waiting)
	}
}

// TestTurns: of many pictures of one tenant no more stand before another's than there are places.
func TestTurns(t *testing.T) {
	m := newMaker(t, Config{Parallel: 1, Waiting: 40})
	p, _ := FindPreset("avatar")
	data := asPNG(t, quarters(50, 50))
	hold := make(chan struct{})
	var mu sync.Mutex
	var order []string
	held := func(context.Context) (io.ReadSeekCloser, error) { return local{file{bytes.NewReader(data)}, hold}, nil }
	var all sync.WaitGroup
	ask := func(in string, i int) {
		all.Go(func() {
			f, err := m.Open(t.Context(), in, fmt.Sprint("key", i), p, JPEG, held)
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			order = append(order, in)
			mu.Unlock()
			_ = f.Close()
		})
	}
	for i := range 15 {
		ask("many", i)
	}
	wait := func(in string, n int) {
		for {
			m.mu.Lock()
			s := m.scopes[in]
			ok := s != nil && s.waiting == n
			m.mu.Unlock()
			if ok {
				break
			}
			time.Sleep(time.Millisecond)
		}
		time.Sleep(50 * time.Millisecond)
	}
	wait("many", 15)
	ask("one", 0)
	wait("one", 1)
	close(hold)
	all.Wait()
	at := strings.Join(order, " ")
	if before := strings.Count(at[:strings.Index(at, "one")], "many"); before > 4 {
		t.Errorf("%d of 15 came first: %s", before, at)
	}
}

// TestScopes: what one tenant's store gives for a CID is nobody else's picture, and what it refuses nobody else's
// refusal.
func TestScopes(t *testing.T) {
	m := newMaker(t, Config{})
	p, _ := FindPreset("feed")
	get := func(in string, data []byte) ([]byte, error) {
		f, err := m.Open(t.Context(), in, "samekey", p, JPEG, opener(data))
		if err != nil {
			return nil, err
		}
		defer f.Close()
		return io.ReadAll(f)
	}
	if _, err := get("bad", []byte("this is no picture")); !errors.Is(err, ErrFormat) {
		t.Error(err)
	}
	if _, err := get("forged", asPNG(t, quarters(20, 20))); err != nil {
		t.Error(err)
	}
	for range 2 {
		out, err := get("honest", asPNG(t, quarters(80, 40)))
		if err != nil {
			t.Fatal(err)
		}
		if b := decoded(t, out, "jpeg").Bounds(); b.Dx() != 80 {
			t.Errorf("another tenant's picture: %v", b)
		}
	}
}

// changing gives one picture when it is read first, and another after that.
type changing struct {
	*bytes.Reader
	next []byte
	read bool
}

func (c *changing) Read(p []byte) (int, error) {
	c.read = true
	return c.Reader.Read(p)
}

func (c *changing) Seek(offset int64, whence int) (int64, error) {
	if c.read {
		c.Reader.Reset(c.next)
	}
	return c.Reader.Seek(offset, whence)
}
func (*changing) Close() error { return nil }

// TestFetch: what comes from elsewhere is read once, also when it is large, and not at all when it is no picture.
func TestFetch(t *testing.T) {
	m := newMaker(t, Config{})
	p, _ := FindPreset("feed")
	for _, size := range []int{300, 2 << 20} {
		data := append(asPNG(t, quarters(60, 60)), make([]byte, size)...)
		f, err := m.Open(t.Context(), "t_1", fmt.Sprint("key", size), p, JPEG, func(context.Context) (io.ReadSeekCloser, error) {
			return &changing{Reader: bytes.NewReader(data), next: madePNG(7000, 7000, 8, 6, 7000*28001)}, nil
		})
		if err != nil {
			t.Fatalf("%d: %v", size, err)
		}
		out, _ := io.ReadAll(f)
		if b := decoded(t, out, "jpeg").Bounds(); b.Dx() != 60 {
			t.Errorf("%d: %v", size, b)
		}
		_ = f.Close()
	}
	film := &counting{Reader: bytes.NewReader(append([]byte("\x00\x00\x00\x18ftypmp42"), make([]byte, 10<<20)...))}
	if _, err := m.Open(t.Context(), "t_1", "film", p, JPEG, func(context.Context) (io.ReadSeekCloser, error) { return film, nil }); !errors.Is(err, ErrFormat) || film.read > 4096 {
		t.Errorf("%v after %d bytes", err, film.read)
	}
	left, err := filepath.Glob(filepath.Join(m.cfg.Dir, ".new-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left over: %v %v", left, err)
	}
}

type counting struct {
	*bytes.Reader
	read int
}

func (c *counting) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.read += n
	return n, err
}
func (*counting) Close() error { return nil }

// TestUnusedCopies: a copy that nobody asks for goes after some weeks, also when there is room.
func TestUnusedCopies(t *testing.T) {
	m := newMaker(t, Config{})
	data := asPNG(t, quarters(30, 30))
	for _, key := range []string{"old", "used"} {
		if _, err := m.get(t, key, "avatar", JPEG, data); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(m.cfg.Dir, "t_1", key[len(key)-2:], key+".avatar.jpeg")
		if err := os.Chtimes(path, time.Time{}, time.Now().Add(-unusedTime-time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := m.get(t, "used", "avatar", JPEG, nil); err != nil {
		t.Fatal(err)
	}
	m.counted = m.counted.Add(-countEvery)
	if _, err := m.get(t, "new", "avatar", JPEG, data); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]error{"old": ErrFormat, "used": nil, "new": nil} {
		if _, err := m.get(t, key, "avatar", JPEG, []byte("gone from the cache")); !errors.Is(err, want) {
			t.Errorf("%s: %v", key, err)
		}
	}
}
