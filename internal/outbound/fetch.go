package outbound

import (
	"context"
	"fmt"
	"io"
	"net/http"
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
		return nil, resp.StatusCode, fmt.Errorf("%w %d", ErrStatus, resp.StatusCode)
	}
	body, err := ReadBody(resp, limit)
	if err != nil {
		return nil, 0, err
	}
	return body, resp.StatusCode, nil
}
