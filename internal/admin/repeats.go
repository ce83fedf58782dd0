package admin

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/keyring"
)

const (
	forgetEvery = time.Hour
	waitFor     = 5 * time.Second // for the same call that is on its way
	waitEvery   = 50 * time.Millisecond
	maxKey      = 200
)

// repeats lets a caller repeat a POST: the second time it is told what the first one was.
type repeats struct {
	db   *db.DB
	keys *keyring.Keyring
	now  func() time.Time
}

func (r repeats) log() act.Answers { return act.NewAnswers(r.db, r.now) }

// serve answers a POST that has a key.
func (r repeats) serve(c *call, w http.ResponseWriter, req *http.Request, key string, body []byte, h func(http.ResponseWriter, *http.Request)) {
	ctx := req.Context()
	if len(key) > maxKey || strings.ContainsFunc(key, func(c rune) bool { return c <= ' ' || c > '~' }) {
		writeProblem(w, refuse(http.StatusBadRequest, codeInvalid, "An Idempotency-Key has up to %d printable ASCII characters and no space", maxKey))
		return
	}
	name := act.AnswerName{Caller: c.caller.TokenID, Key: key, Digest: digest(req, body)}
	known, p := r.hold(ctx, c, name)
	if p != nil {
		writeProblem(w, p)
		return
	}
	if known != nil {
		r.again(ctx, c, w, name, known)
		return
	}
	rec := &recorder{header: w.Header()}
	defer func() {
		// Whoever hung up asks again, and is then told what came of it.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), waitFor)
		defer cancel()
		if err := r.keep(ctx, name, rec); err != nil {
			c.s.Log.Error("an answer could not be kept for repeated requests", "id", c.requestID, "err", err)
		}
	}()
	h(rec, req)
	rec.send(w)
}

// hold takes the key, or gives the answer that is kept. One that is on its way is waited for.
func (r repeats) hold(ctx context.Context, c *call, name act.AnswerName) (*act.Answer, *Problem) {
	for until := time.Now().Add(waitFor); ; {
		known, mine, err := r.log().Hold(ctx, name)
		switch {
		case err != nil:
			return nil, c.fail(ctx, err)
		case mine:
			return nil, nil
		case !bytes.Equal(known.Digest, name.Digest):
			return nil, refuse(http.StatusUnprocessableEntity, codeKeyReused, "This Idempotency-Key came with another request before: each request needs a key of its own")
		case known.Status != 0:
			return known, nil
		case time.Now().After(until):
			return nil, refuse(http.StatusConflict, codeKeyBusy, "The same request is on its way: ask again for its answer").after(time.Second)
		}
		select {
		case <-ctx.Done():
			return nil, c.fail(ctx, ctx.Err())
		case <-time.After(waitEvery):
		}
	}
}

// again gives the answer of before.
func (r repeats) again(ctx context.Context, c *call, w http.ResponseWriter, name act.AnswerName, known *act.Answer) {
	text, err := r.opened(name, known)
	if err != nil {
		writeProblem(w, c.fail(ctx, err))
		return
	}
	w.Header().Set("Content-Type", known.ContentType)
	w.Header().Set("Idempotency-Replayed", "true")
	w.WriteHeader(known.Status)
	_, _ = w.Write(text)
}

// opened is the text of an answer that is kept. A status that was never kept is not given: net/http would panic on some.
func (r repeats) opened(name act.AnswerName, known *act.Answer) ([]byte, error) {
	if known.Status < http.StatusOK || !lasting(known.Status) {
		return nil, fmt.Errorf("a kept answer has the status %d", known.Status)
	}
	text, err := r.keys.Open(name.Binding(), known.Sealed)
	if err != nil {
		return nil, fmt.Errorf("open a kept answer: %w", err)
	}
	return text, nil
}

// lasting tells whether an answer is the same the next time. What may go better is not kept.
func lasting(status int) bool {
	return status != 0 && status < http.StatusInternalServerError && status != http.StatusTooManyRequests
}

// keep stores what was answered, if it lasts.
func (r repeats) keep(ctx context.Context, name act.AnswerName, rec *recorder) error {
	if !lasting(rec.status) {
		return r.log().Drop(ctx, name)
	}
	sealed, err := r.keys.Seal(name.Binding(), rec.body.Bytes())
	if err != nil {
		return fmt.Errorf("seal: %w", err)
	}
	return r.log().Keep(ctx, name, act.Answer{Status: rec.status, ContentType: rec.header.Get("Content-Type"), Sealed: sealed})
}

func (r repeats) forget(ctx context.Context) error { return r.log().Forget(ctx) }

func digest(req *http.Request, body []byte) []byte {
	h := sha256.New()
	fmt.Fprintf(h, "%s %s\n", req.Method, req.URL.RequestURI())
	h.Write(body)
	return h.Sum(nil)
}

// recorder keeps an answer until it is whole.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header { return r.header }

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
}

func (r *recorder) Write(p []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	return r.body.Write(p)
}

func (r *recorder) send(w http.ResponseWriter) {
	w.WriteHeader(max(r.status, 200))
	_, _ = w.Write(r.body.Bytes())
}
