package outbound

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// ReadBody reads a body of at most limit bytes and closes it; [ErrTooBig] beyond.
func ReadBody(r *http.Response, limit int64) ([]byte, error) {
	defer r.Body.Close()
	if r.ContentLength > limit {
		return nil, fmt.Errorf("%w: %d bytes", ErrTooBig, r.ContentLength)
	}
	b, err := io.ReadAll(io.LimitReader(r.Body, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read response: %w", err)
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrTooBig, limit)
	}
	return b, nil
}

// Fetch does one GET and returns a body of at most limit bytes. The status is given with [ErrStatus]; with any other
// error it is 0.
func Fetch(ctx context.Context, c *http.Client, url, accept string, limit int64) (body []byte, status int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, 0, fmt.Errorf("%w: malformed URL", ErrUnsafeAddress)
	}
	return Do(c, req, accept, limit)
}

// Do is [Fetch] with a request of the caller's.
func Do(c *http.Client, req *http.Request, accept string, limit int64) ([]byte, int, error) {
	req.Header.Set("Accept", accept)
	req.Header.Set("User-Agent", "aurora-locus")
	resp, err := c.Do(req)
	if err != nil {
		return nil, 0, err
	}
	if resp.StatusCode != http.StatusOK {
		_ = resp.Body.Close()
		err := fmt.Errorf("%w %d", ErrStatus, resp.StatusCode)
		if wait := Wanted(resp.Header); wait > 0 {
			err = &busyError{err, wait}
		}
		return nil, resp.StatusCode, err
	}
	body, err := ReadBody(resp, limit)
	if err != nil {
		return nil, 0, err
	}
	return body, resp.StatusCode, nil
}

// maxWanted bounds what a server may ask for.
const maxWanted = time.Hour

// Wanted is how long a server wants to be left alone, by its header Retry-After; 0: it does not say.
func Wanted(h http.Header) time.Duration {
	text := h.Get("Retry-After")
	if seconds, err := strconv.Atoi(text); err == nil {
		return time.Duration(min(max(0, seconds), int(maxWanted/time.Second))) * time.Second
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	now, err := http.ParseTime(h.Get("Date")) // by its own clock
	if err != nil {
		return 0
	}
	return min(max(0, at.Sub(now)), maxWanted)
}

type busyError struct {
	error
	wait time.Duration
}

func (e *busyError) Unwrap() error { return e.error }

// RetryAfter is what [Wanted] said of an answer that became this error.
func RetryAfter(err error) time.Duration {
	var busy *busyError
	if errors.As(err, &busy) {
		return busy.wait
	}
	return 0
}
