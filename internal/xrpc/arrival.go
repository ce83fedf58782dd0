package xrpc

import (
	"errors"
	"io"
	"net/http"
	"os"
	"time"
)

// arrival is the body of a request on the wire, whatever the request is for and whether or not anybody wants its body.
// From the moment a body is announced the connection has a read deadline, until the body's end has been read. Without
// it net/http would wait for a client that announces nine bytes and sends none, because it reads what a handler left.
type arrival struct {
	src io.ReadCloser
	ctl *http.ResponseController
	now func() time.Time // real time: deadlines are the kernel's

	credit   time.Duration // how long the client may still make the server wait
	end      time.Time     // of a body that must have come whole by then; zero: none
	deadline time.Time     // what the connection has
	read     int64         // bytes so far
	asks     bool          // the client waits to be told that it may send
	ended    bool          // nothing of the body is left to come
}

// What a client may make the server wait. Each [bodyFloor] bytes give it a second more, up to [bodyWait]: over any time
// it must send that many bytes a second, except for one pause. It counts only while the server waits, not while it
// works.
const (
	bodyWait  = 30 * time.Second
	bodyFloor = 4 << 10

	// A request that was refused before its body was read: a small body that has been sent already is read over, so that
	// the connection can serve on. Whatever takes longer ends with its connection, after a moment in which a client that
	// is still sending may see the answer.
	leftoverBytes = 64 << 10
	leftoverWait  = 250 * time.Millisecond
	lingerWait    = time.Second
	lingerBytes   = 8 << 20
)

// longAgo is a deadline that has passed.
var longAgo = time.Unix(1, 0)

// arriving puts a deadline on the body of a request, if it announces one; nil if not.
func arriving(w http.ResponseWriter, r *http.Request) *arrival {
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
		return nil
	}
	a := &arrival{src: r.Body, ctl: http.NewResponseController(w), now: time.Now, credit: bodyWait, asks: r.Header.Get("Expect") != ""}
	a.set(a.now().Add(a.credit))
	r.Body = a
	return a
}

// whole lets the body be here within d, however it comes.
func (a *arrival) whole(d time.Duration) { a.end = a.now().Add(d) }

func (a *arrival) set(t time.Time) {
	a.deadline = t
	_ = a.ctl.SetReadDeadline(t)
}

func (a *arrival) Read(p []byte) (int, error) {
	began := a.now()
	until := began.Add(a.credit)
	if !a.end.IsZero() && a.end.Before(until) {
		until = a.end
	}
	if d := until.Sub(a.deadline); d > time.Second || d < -time.Second { // not for every few bytes
		a.set(until)
	}
	n, err := a.src.Read(p)
	a.read += int64(n)
	a.credit = min(bodyWait, a.credit-a.now().Sub(began)+time.Duration(n)*time.Second/bodyFloor)
	if err == nil && a.credit <= 0 {
		err = os.ErrDeadlineExceeded // a deadline that was not moved for so little
	}
	if err == io.EOF {
		// A deadline that is left in place would end the request's context while the handler works.
		a.ended = true
		a.set(time.Time{})
	}
	return n, err
}

func (a *arrival) Close() error { return a.src.Close() }

// settle is called before the head of an answer is written. It says whether the connection can take another request.
func (a *arrival) settle(r *http.Request) bool {
	if a == nil || a.ended {
		return true
	}
	if a.asks && a.read == 0 || r.ContentLength-a.read > leftoverBytes {
		return false // reading would make the client send the body (100-continue), or takes too long
	}
	if limit := a.now().Add(leftoverWait); a.end.IsZero() || limit.Before(a.end) {
		a.end = limit
	}
	_, _ = io.CopyN(io.Discard, a, leftoverBytes)
	if !a.ended {
		var one [1]byte
		_, err := a.Read(one[:])
		a.ended = a.ended || errors.Is(err, io.EOF)
	}
	return a.ended
}

// leave ends a request whose answer has been given. Closing a connection with bytes unread resets it, and a client that is
// still sending might then not see the answer: so the answer is sent, and what comes is read over for a moment.
func (a *arrival) leave() {
	if a == nil || a.ended {
		return
	}
	if a.asks && a.read == 0 {
		a.set(a.now().Add(lingerWait))
		return // it sends nothing any more
	}
	_ = a.ctl.Flush()
	a.end = a.now().Add(lingerWait)
	_, _ = io.CopyN(io.Discard, a, lingerBytes)
	if !a.ended {
		a.set(a.now().Add(lingerWait)) // net/http reads on a little
	}
}
