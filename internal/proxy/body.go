package proxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/auroralocus/locus/internal/fair"
)

// errStuck is the cause of a call that was ended because nothing moved.
var errStuck = errors.New("nothing moved for too long")

// watch ends a call when nothing of its bodies moves.
type watch struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	timer  *time.Timer
	wait   time.Duration
}

func watching(ctx context.Context, wait time.Duration) *watch {
	w := &watch{wait: wait}
	w.ctx, w.cancel = context.WithCancelCause(ctx)
	w.timer = time.AfterFunc(wait, func() { w.cancel(errStuck) })
	w.timer.Stop()
	return w
}

func (w *watch) begin() { w.timer.Reset(w.wait) }
func (w *watch) pause() { w.timer.Stop() }

func (w *watch) end() {
	w.timer.Stop()
	w.cancel(nil)
}

// feed hands a request body to the transport, which reads in a goroutine of its own and may go on when the answer has
// been given. [feed.stop] ends that: afterwards nobody touches the body but the face.
type feed struct {
	src   Body
	watch *watch
	sent  int64

	mu      sync.Mutex
	reading bool
	stopped bool
	err     error         // of src, io.EOF included
	idle    chan struct{} // closed when a stopped Read has come back
	done    chan struct{} // closed when the transport wants no more
	once    sync.Once
}

var errStopped = errors.New("the answer is there already")

// newFeed is nil without a body.
func newFeed(src Body, w *watch) *feed {
	if src == nil {
		return nil
	}
	return &feed{src: src, watch: w, idle: make(chan struct{}), done: make(chan struct{})}
}

func (f *feed) Read(p []byte) (int, error) {
	f.mu.Lock()
	if f.stopped || f.err != nil {
		err := f.err
		f.mu.Unlock()
		if err == nil {
			err = errStopped
		}
		return 0, err
	}
	f.reading = true
	f.mu.Unlock()
	f.watch.pause() // how long a client may take is not ours to say
	n, err := f.src.Read(p)
	f.watch.begin()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reading = false
	if f.stopped {
		close(f.idle)
		return 0, errStopped
	}
	if f.sent += int64(n); f.sent > MaxBody {
		n, err = 0, ErrBodyTooLarge
	}
	if err != nil {
		f.err = err // what the transport still has to send is watched on
	}
	return n, err
}

// Close is the transport's: it wants no more.
func (f *feed) Close() error {
	f.once.Do(func() { close(f.done) })
	return nil
}

// stop ends the reading, and waits for a Read that is under way.
func (f *feed) stop() {
	if f == nil {
		return
	}
	f.mu.Lock()
	if f.stopped {
		f.mu.Unlock()
		return
	}
	f.stopped = true
	reading := f.reading
	f.mu.Unlock()
	if reading {
		f.src.Interrupt()
		<-f.idle
	}
}

// broken is what was wrong with the body on the client's side.
func (f *feed) broken() error {
	if f == nil {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil || f.err == io.EOF {
		return nil
	}
	return &BodyError{f.err}
}

// settle is called when the head of an answer is there: a refusal needs no more of the body, and any other answer waits
// until the service has had all of it.
func (f *feed) settle(ctx context.Context, status int) error {
	if f == nil {
		return nil
	}
	if status < 400 {
		select {
		case <-f.done:
		case <-f.watch.ctx.Done():
			if ctx.Err() == nil {
				return context.Cause(f.watch.ctx)
			}
			return ctx.Err()
		}
	}
	f.stop()
	if status < 400 {
		return f.broken()
	}
	return nil
}

// ErrBodyTooLarge: the request is longer than one may be.
var ErrBodyTooLarge = errors.New("the body is too large to be sent on")

// BodyError is what was wrong with the client's body.
type BodyError struct{ Err error }

func (e *BodyError) Error() string { return "read request body: " + e.Err.Error() }
func (e *BodyError) Unwrap() error { return e.Err }

// upstream is the body of an answer on the wire: bounded, watched, and never silently short.
type upstream struct {
	src   io.ReadCloser
	left  int64
	watch *watch
	ctx   context.Context // the client's
	leave func()
	once  sync.Once
}

func (u *upstream) Read(p []byte) (int, error) {
	if int64(len(p)) > u.left+1 {
		p = p[:u.left+1] // one more byte tells "exactly the limit" from "over it"
	}
	u.watch.begin()
	n, err := u.src.Read(p)
	u.watch.pause()
	if u.left -= int64(n); u.left < 0 {
		return 0, ErrTooLarge
	}
	if err == nil || err == io.EOF {
		return n, err
	}
	if u.ctx.Err() != nil {
		return n, u.ctx.Err()
	}
	if cause := context.Cause(u.watch.ctx); cause != nil {
		err = cause
	}
	return n, fmt.Errorf("%w: %w", ErrCut, err)
}

// Close ends the call, whether or not its answer was read to the end.
func (u *upstream) Close() error {
	u.once.Do(func() {
		_ = u.src.Close()
		u.watch.end()
		u.leave()
	})
	return nil
}

// inMemory is an answer that was read whole.
type inMemory struct {
	bytes.Reader
	hold *fair.Hold
}

func (m *inMemory) Close() error {
	m.hold.Release()
	return nil
}

// resumed is an answer of which a part was read before it turned out long.
type resumed struct {
	io.Reader
	*upstream
}

func (r resumed) Read(p []byte) (int, error) { return r.Reader.Read(p) }

// whole reads a short answer to its end, if there is memory for it, so that one that is cut is an error and not half an
// answer. length is -1 when it is not known.
func (p *Proxy) whole(c *Call, a *Answer, length int64, body *upstream) (*Answer, error) {
	size := length
	if size < 0 {
		size = wholeAnswer
	}
	hold := p.cfg.Memory.Try(size, c.Caller.Tenant.Schema.String(), c.Caller.DID)
	if hold == nil {
		return a, nil
	}
	var buf []byte
	var err error
	if length >= 0 {
		buf = make([]byte, length)
		_, err = io.ReadFull(body, buf)
		if err == io.ErrUnexpectedEOF || err == io.EOF && length > 0 {
			err = ErrCut
		} else if err == io.EOF {
			err = nil
		}
	} else {
		buf, err = io.ReadAll(io.LimitReader(body, wholeAnswer))
		if err == nil && len(buf) == wholeAnswer { // and more, perhaps
			a.Body = &held{resumed{io.MultiReader(bytes.NewReader(buf), body), body}, hold}
			return a, nil
		}
	}
	_ = body.Close()
	if err != nil {
		hold.Release()
		return nil, err
	}
	m := &inMemory{hold: hold}
	m.Reset(buf)
	a.Body, a.Whole = m, true
	return a, nil
}

// held gives memory back with the body.
type held struct {
	resumed
	hold *fair.Hold
}

func (h *held) Close() error {
	h.hold.Release()
	return h.resumed.Close()
}
