// Package afterwrite lets an account read what it has just written: it calls the app view as any call is made, looks at
// which revision of the account's repository the answer knows, and has what is behind that put into it (merge). An answer
// that knows all of it, and one that cannot be merged, goes on as it came in.
package afterwrite

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/fair"
	"github.com/auroralocus/locus/internal/proxy"
	"github.com/auroralocus/locus/internal/proxy/merge"
	"github.com/auroralocus/locus/repo"
	"github.com/auroralocus/locus/repo/repodb"
)

const (
	// MaxAnswer is how long an answer that is merged may be, as sent and decoded. A longer one goes on as it is.
	MaxAnswer = 2 << 20
	// maxAsked bounds an answer that is asked for to merge another.
	maxAsked = 1 << 20
	// kept is what merging takes of memory for each byte of an answer: the answer, its values, what comes of it.
	kept = 4
)

const (
	headerRev = "Atproto-Repo-Rev"
	// HeaderLag says for how many milliseconds the oldest change that was merged has been waiting to be seen.
	HeaderLag = "Atproto-Upstream-Lag"
)

// Config is what a [Reader] needs.
type Config struct {
	Proxy  *proxy.Proxy
	Repos  *repodb.Store
	Actors *account.Cache
	Memory *fair.Bytes                  // for answers that are merged; where there is none they are not
	Origin func(hostname string) string // the address of a tenant's host
	Now    func() time.Time
	Log    *slog.Logger
}

// Reader calls methods whose answers are merged.
type Reader struct{ cfg Config }

// New makes a Reader.
func New(cfg Config) *Reader { return &Reader{cfg} }

// Methods are the methods whose answers are merged, and what calls each.
func (r *Reader) Methods() map[string]func(context.Context, *proxy.Call) (*proxy.Answer, error) {
	out := map[string]func(context.Context, *proxy.Call) (*proxy.Answer, error){}
	for _, m := range merge.Methods() {
		out[m] = r.Do
	}
	return out
}

// Do calls a method that is merged, with a GET. Nothing that goes wrong with merging is an error: the service's answer
// stands. Errors: those of [proxy.Proxy.Do], [merge.ErrNotAcceptable], [*merge.EncodingError].
func (r *Reader) Do(ctx context.Context, c *proxy.Call) (*proxy.Answer, error) {
	takes, err := merge.Negotiate(strings.Join(c.Header["Accept-Encoding"], ","))
	if err != nil {
		return nil, err
	}
	call := *c
	call.Header = c.Header.Clone()
	if call.Header == nil {
		call.Header = http.Header{}
	}
	call.Header.Set("Accept-Encoding", takes.Ask)
	answer, err := r.cfg.Proxy.Do(ctx, &call)
	var refused *proxy.UpstreamError
	switch {
	case errors.As(err, &refused):
		if made := r.notFound(ctx, &call, refused, takes); made != nil {
			return made, nil
		}
		return nil, err
	case err != nil:
		return nil, err
	case answer.Status != http.StatusOK || !isJSON(answer.Header):
		return answer, nil
	}
	m := r.merging(ctx, &call, answer.Header)
	if m == nil {
		return answer, nil
	}
	return r.merged(ctx, c.Caller.Tenant.Schema, answer, m, takes)
}

func isJSON(h http.Header) bool {
	t, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	return err == nil && t == "application/json"
}

// merging is what is to be merged into an answer with these headers; nil: nothing.
func (r *Reader) merging(ctx context.Context, c *proxy.Call, h http.Header) *merge.Call {
	rev, err := repo.ParseTID(h.Get(headerRev))
	if err != nil {
		return nil
	}
	who, schema := c.Caller, c.Caller.Tenant.Schema
	actor, err := r.cfg.Actors.ByDID(ctx, schema, who.DID, account.Fresh)
	if err != nil {
		r.failed(ctx, c, err)
		return nil
	}
	changes, err := r.cfg.Repos.Since(ctx, schema, actor.AID, actor.HeadRev, rev)
	if err != nil {
		r.failed(ctx, c, err)
	}
	if len(changes) == 0 {
		return nil
	}
	query, err := url.ParseQuery(c.Query)
	if err != nil {
		return nil
	}
	m := &merge.Call{
		Method: c.NSID, Query: query, DID: who.DID, Handle: actor.Handle, Now: r.cfg.Now(), Changes: make([]merge.Change, len(changes)),
		Profile: func(ctx context.Context) ([]byte, error) { return r.profile(ctx, schema, who.DID) },
		Ask: func(ctx context.Context, method string, query url.Values) ([]byte, error) {
			return r.ask(ctx, c, method, query)
		},
		Image: r.images(c),
	}
	for i := range changes {
		ch := &changes[i]
		m.Changes[i] = merge.Change{Path: ch.Path, Created: ch.Created, Record: ch.Value, Subject: ch.Link, At: ch.At}
		if ch.CID.Defined() {
			m.Changes[i].CID = ch.CID.String()
		}
	}
	return m
}

// merged reads an answer and puts together what is sent in its place.
func (r *Reader) merged(ctx context.Context, schema db.Schema, answer *proxy.Answer, m *merge.Call, takes merge.Encodings) (*proxy.Answer, error) {
	length, err := strconv.ParseInt(answer.Header.Get("Content-Length"), 10, 64)
	if err != nil && answer.Whole {
		length = 128 << 10
	} else if err != nil {
		length = MaxAnswer
	}
	if length > MaxAnswer || !takes.Plain && !takes.Gzip {
		return answer, nil
	}
	hold := r.cfg.Memory.Try(kept*length, schema.String(), m.DID)
	if hold == nil {
		return answer, nil
	}
	defer hold.Release()
	raw, err := io.ReadAll(io.LimitReader(answer.Body, MaxAnswer+1))
	if err != nil {
		_ = answer.Body.Close()
		return nil, err
	}
	if len(raw) > MaxAnswer {
		answer.Body = rest{io.MultiReader(bytes.NewReader(raw), answer.Body), answer.Body}
		return answer, nil
	}
	_ = answer.Body.Close()
	as := func(body []byte) *proxy.Answer {
		out := *answer
		out.Body, out.Whole = io.NopCloser(bytes.NewReader(body)), true
		return &out
	}
	body, err := as(raw).ReadAll(MaxAnswer)
	if err != nil {
		return as(raw), nil // what cannot be decoded here may be decoded elsewhere
	}
	out, ok, err := m.Merge(ctx, body)
	if err != nil {
		r.cfg.Log.WarnContext(ctx, "an answer was not merged", "method", m.Method, "did", m.DID, "err", err)
	}
	if !ok {
		return as(raw), nil
	}
	return r.made(answer.Header, out, takes), nil
}

// rest is an answer of which a part was read.
type rest struct {
	io.Reader
	io.Closer
}

// made is an answer of ours with a service's headers.
func (r *Reader) made(h http.Header, out merge.Answer, takes merge.Encodings) *proxy.Answer {
	body := out.Body
	h = h.Clone()
	h.Del("Content-Encoding")
	if !takes.Plain {
		var packed bytes.Buffer
		z := gzip.NewWriter(&packed)
		_, _ = z.Write(body) // into memory
		_ = z.Close()
		body = packed.Bytes()
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set(HeaderLag, strconv.FormatInt(out.Lag.Milliseconds(), 10))
	return &proxy.Answer{Status: http.StatusOK, Header: h, Body: io.NopCloser(bytes.NewReader(body)), Whole: true}
}

// notFound is the answer of our own to a thread whose post the app view has not seen; nil: its refusal stands.
func (r *Reader) notFound(ctx context.Context, c *proxy.Call, refused *proxy.UpstreamError, takes merge.Encodings) *proxy.Answer {
	if refused.Status != http.StatusBadRequest || refused.Name != "NotFound" || !takes.Plain && !takes.Gzip {
		return nil
	}
	m := r.merging(ctx, c, refused.Header)
	if m == nil {
		return nil
	}
	out, ok, err := m.NotFound(ctx)
	if err != nil {
		r.failed(ctx, c, err)
	}
	if !ok {
		return nil
	}
	h := refused.Header.Clone()
	h.Set("Content-Type", "application/json; charset=utf-8")
	return r.made(h, out, takes)
}

func (r *Reader) failed(ctx context.Context, c *proxy.Call, err error) {
	if ctx.Err() == nil {
		r.cfg.Log.WarnContext(ctx, "an answer was not merged", "method", c.NSID, "did", c.Caller.DID, "err", err)
	}
}

// profile is the account's profile record, nil if there is none that is shown.
func (r *Reader) profile(ctx context.Context, schema db.Schema, did string) ([]byte, error) {
	_, record, err := r.cfg.Repos.GetRecord(ctx, schema, did, "app.bsky.actor.profile/self")
	if errors.Is(err, repodb.ErrRecordNotFound) || err == nil && record.Takendown {
		return nil, nil
	}
	return record.Value, err
}

// errMayNot: the caller's credential does not cover what would complete the answer, which stays as the service gave it.
var errMayNot = errors.New("the caller was not granted it")

// ask asks the service that the call is for, in the same name, as far as the caller may.
func (r *Reader) ask(ctx context.Context, c *proxy.Call, method string, query url.Values) ([]byte, error) {
	if c.Caller.May == nil || !c.Caller.May(method, c.Target.Reference()) {
		return nil, fmt.Errorf("%w: %s", errMayNot, method)
	}
	h := http.Header{}
	for _, name := range []string{"Accept-Language", "Atproto-Accept-Labelers"} {
		if values := c.Header[name]; len(values) > 0 {
			h[name] = values
		}
	}
	answer, err := r.cfg.Proxy.Get(ctx, c.Caller, c.Target, method, query.Encode(), h)
	if err != nil {
		return nil, err
	}
	if answer.Status != http.StatusOK {
		_ = answer.Body.Close()
		return nil, fmt.Errorf("%s answered %d", method, answer.Status)
	}
	return answer.ReadAll(maxAsked)
}

// images gives the addresses of the account's pictures: by the pattern of the tenant's choice, or this server's own.
func (r *Reader) images(c *proxy.Call) func(kind, cid string) string {
	pattern, did := r.cfg.Proxy.CDN(c.Caller.Tenant), c.Caller.DID
	if pattern == "" {
		own := r.cfg.Origin(c.Caller.Tenant.Hostname) + "/xrpc/com.atproto.sync.getBlob?"
		return func(_, cid string) string { return own + url.Values{"did": {did}, "cid": {cid}}.Encode() }
	}
	return func(kind, cid string) string {
		out := pattern
		for _, is := range []string{kind, did, url.PathEscape(cid)} {
			out = strings.Replace(out, "%s", is, 1)
		}
		return out
	}
}
