package proxy

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/auroralocus/locus/internal/contentcoding"
)

// refusal reads a service's error: status, and name and message where they are strings. It closes the body.
func refusal(resp *http.Response, body *upstream) *UpstreamError {
	defer body.Close()
	e := &UpstreamError{Status: resp.StatusCode, Header: http.Header{}}
	pick(e.Header, resp.Header, ofErrors)
	if resp.Request.Method == http.MethodHead {
		return e
	}
	if !isJSON(resp.Header.Get("Content-Type")) {
		body.drain()
		return e
	}
	if resp.ContentLength > MaxError {
		return e
	}
	body.left = MaxError
	text, err := Decoded(body, resp.Header["Content-Encoding"], MaxError)
	if err != nil {
		return e
	}
	var said struct {
		Error   jsontext.Value `json:"error"`
		Message jsontext.Value `json:"message"`
	}
	if json.Unmarshal(text, &said, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)) != nil {
		return e
	}
	e.Name, e.Message = textOf(said.Error), textOf(said.Message)
	return e
}

// isJSON says whether an error may be JSON: it says so, as application/problem+json does too, or it does not say what it is.
func isJSON(contentType string) bool {
	if contentType == "" {
		return true
	}
	t, _, err := mime.ParseMediaType(contentType)
	kind, ok := strings.CutPrefix(t, "application/")
	return err == nil && ok && (kind == "json" || strings.HasSuffix(kind, "+json"))
}

func textOf(v jsontext.Value) (s string) {
	if v.Kind() == '"' && json.Unmarshal(v, &s, jsontext.AllowInvalidUTF8(true)) != nil {
		return ""
	}
	return s
}

// drain reads a little of what is left, so that the connection can be used again, and not for long.
func (u *upstream) drain() {
	stop := time.AfterFunc(drainWait, func() { u.watch.cancel(errStuck) })
	defer stop.Stop()
	_, _ = io.CopyN(io.Discard, u, MaxError)
}

// ReadAll reads an answer, undoes its encoding and closes it; neither form may be longer than limit. Errors: [ErrCut],
// [ErrTooLarge], [ErrEncoding].
func (a *Answer) ReadAll(limit int64) ([]byte, error) {
	defer a.Body.Close()
	return Decoded(a.Body, a.Header["Content-Encoding"], limit)
}

// ErrEncoding: an answer cannot be decoded.
var ErrEncoding = errors.New("upstream answer cannot be decoded")

// Decoded reads a body and undoes its encodings, the last named first; no form of it may be longer than limit. Errors:
// [ErrTooLarge], [ErrEncoding], and the reader's where nothing is encoded.
func Decoded(r io.Reader, encodings []string, limit int64) ([]byte, error) {
	codings, err := contentcoding.Parse(strings.Join(encodings, ","))
	if err != nil {
		return nil, asDecoding(err)
	}
	r = &bounded{r, limit}
	for _, coding := range codings {
		if r, err = contentcoding.Open(coding, r); err != nil {
			return nil, asDecoding(err)
		}
		r = &bounded{r, limit}
	}
	text, err := io.ReadAll(r)
	if err != nil && len(codings) > 0 {
		err = asDecoding(err)
	}
	if err != nil {
		return nil, err
	}
	return text, nil
}

func asDecoding(err error) error {
	if errors.Is(err, ErrTooLarge) || errors.Is(err, ErrCut) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrEncoding, err)
}

// bounded refuses what is longer.
type bounded struct {
	r    io.Reader
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.r.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, ErrTooLarge
	}
	return n, err
}
