// Package locusclient is a Go client of an Aurora Locus server, and of the services that the server hands calls on to.
//
//	pds, err := locusclient.New("https://pds.example")
//	err = pds.SignIn(ctx, "alice.pds.example", password)
//	made, err := locusclient.Post[locusclient.RepoCreateRecordOutputBody](ctx, pds, "com.atproto.repo.createRecord",
//		map[string]any{"repo": pds.DID(), "collection": "app.bsky.feed.post", "record": record})
//
// [Get], [Post] and [All] call any method by its name: those of the server, and, with [Via] or without, those of other
// services. [PDS.Upload], [PDS.Blob], [PDS.Repo] and [PDS.Stream] stream. Every method of the server also has generated
// functions with typed parameters (client.gen.go): those of [ClientWithResponses] read whole answers, those of [Client]
// give the *http.Response.
//
// A session that has expired is refreshed once, by itself; calls that run at the same time share the refresh. A refused call
// is an [*XRPCError], which errors.Is compares with the names in this package:
//
//	if errors.Is(err, locusclient.ErrInvalidSwap) { … }
package locusclient

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strings"
)

//go:generate bash ../../../internal/gen/clients.sh

// A PDS is a server, as one account or nobody. It may be used by many goroutines at once.
type PDS struct {
	*ClientWithResponses
	client  *Client
	session *session
}

// New is a client of the server at an origin, https://pds.example. Its host decides which server it is.
func New(origin string, options ...ClientOption) (*PDS, error) {
	c, err := NewClient(origin, options...)
	if err != nil {
		return nil, err
	}
	s := &session{}
	s.refresh = func(ctx context.Context) (string, string, error) {
		r, err := (&ClientWithResponses{c}).ComAtprotoServerRefreshSessionWithResponse(ctx)
		if err := Check(r, err); err != nil {
			return "", "", err
		}
		return r.JSON200.AccessJwt, r.JSON200.RefreshJwt, nil
	}
	c.Client = &authorized{c.Client, s}
	return &PDS{&ClientWithResponses{c}, c, s}, nil
}

// SignIn opens a session by handle, DID or e-mail address and a password or app password.
func (p *PDS) SignIn(ctx context.Context, identifier, password string) error {
	return p.SignInWithCode(ctx, identifier, password, "")
}

// SignInWithCode also gives the code of the second factor, which [ErrAuthFactorTokenRequired] asks for.
func (p *PDS) SignInWithCode(ctx context.Context, identifier, password, code string) error {
	in := ServerCreateSessionInputBody{Identifier: identifier, Password: password}
	if code != "" {
		in.AuthFactorToken = &code
	}
	r, err := p.ComAtprotoServerCreateSessionWithResponse(ctx, in)
	if err := Check(r, err); err != nil {
		return err
	}
	p.Resume(Tokens{r.JSON200.Did, r.JSON200.AccessJwt, r.JSON200.RefreshJwt})
	return nil
}

// SignOut ends the session, here and on the server.
func (p *PDS) SignOut(ctx context.Context) error {
	r, err := p.ComAtprotoServerDeleteSessionWithResponse(ctx)
	p.session.set(Tokens{})
	return Check(r, err)
}

// Resume goes on with a session of before, or with the tokens of createAccount. The zero Tokens are nobody.
func (p *PDS) Resume(t Tokens) { p.session.set(t) }

// Tokens are the session, to be kept and given to [PDS.Resume].
func (p *PDS) Tokens() Tokens { return p.session.get() }

// OnRefresh has f called with the new tokens after each refresh, to keep them. Call it before the first call.
func (p *PDS) OnRefresh(f func(Tokens)) { p.session.changed = f }

// DID is the signed-in account's; "" without a session.
func (p *PDS) DID() string { return p.session.get().DID }

// Via hands a call to a service, did:web:api.bsky.app#bsky_appview, instead of the one that the server is set up with.
func Via(service string) RequestEditorFn {
	return func(_ context.Context, r *http.Request) error {
		r.Header.Set("atproto-proxy", service)
		return nil
	}
}

// AsOperator makes one call (or, as [WithRequestEditorFn], every call) with a tenant's admin password.
func AsOperator(password string) RequestEditorFn {
	return func(_ context.Context, r *http.Request) error {
		r.SetBasicAuth("admin", password)
		return nil
	}
}

// Stream makes a query and gives its body to be read as it comes. The caller closes it.
func (p *PDS) Stream(ctx context.Context, nsid string, params url.Values, editors ...RequestEditorFn) (io.ReadCloser, error) {
	return p.do(ctx, http.MethodGet, nsid, params, "", nil, editors)
}

// Repo is an account's repository as an archive (CAR), streamed. The caller closes it.
func (p *PDS) Repo(ctx context.Context, did string) (io.ReadCloser, error) {
	return p.Stream(ctx, "com.atproto.sync.getRepo", url.Values{"did": {did}})
}

// Blob is a file of an account, streamed. The caller closes it.
func (p *PDS) Blob(ctx context.Context, did, cid string) (io.ReadCloser, error) {
	return p.Stream(ctx, "com.atproto.sync.getBlob", url.Values{"did": {did}, "cid": {cid}})
}

// Upload streams a file up and returns the reference for a record. Give an io.Seeker, such as an *os.File, where there is
// one: it can be sent again after a refresh.
func (p *PDS) Upload(ctx context.Context, mimeType string, file io.Reader) (*Blob, error) {
	body, err := p.do(ctx, http.MethodPost, "com.atproto.repo.uploadBlob", nil, mimeType, file, nil)
	if err != nil {
		return nil, err
	}
	out, err := decode[RepoUploadBlobOutputBody](body)
	if err != nil {
		return nil, err
	}
	return &out.Blob, nil
}

// ImportRepo streams an archive up, which replaces the repository of an account that moves here.
func (p *PDS) ImportRepo(ctx context.Context, archive io.Reader) error {
	body, err := p.do(ctx, http.MethodPost, "com.atproto.repo.importRepo", nil, "application/vnd.ipld.car", archive, nil)
	if err != nil {
		return err
	}
	return body.Close()
}

// Get makes a query by its name and decodes the answer.
func Get[T any](ctx context.Context, p *PDS, nsid string, params url.Values, editors ...RequestEditorFn) (*T, error) {
	body, err := p.do(ctx, http.MethodGet, nsid, params, "", nil, editors)
	if err != nil {
		return nil, err
	}
	return decode[T](body)
}

// Post calls a procedure by its name; in is encoded as JSON, nil sends no body. An empty answer leaves T as it is.
func Post[T any](ctx context.Context, p *PDS, nsid string, in any, editors ...RequestEditorFn) (*T, error) {
	var sent io.Reader
	mimeType := ""
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return nil, err
		}
		sent, mimeType = bytes.NewReader(b), "application/json"
	}
	body, err := p.do(ctx, http.MethodPost, nsid, nil, mimeType, sent, editors)
	if err != nil {
		return nil, err
	}
	return decode[T](body)
}

// All goes through every page of a query. member names the list in the answer: "records" of com.atproto.repo.listRecords,
// "feed" of app.bsky.feed.getTimeline. The first error ends it.
func All[T any](ctx context.Context, p *PDS, nsid, member string, params url.Values, editors ...RequestEditorFn) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var zero T
		query := url.Values{}
		for k, v := range params {
			query[k] = v
		}
		for {
			page, err := Get[map[string]json.RawMessage](ctx, p, nsid, query, editors...)
			if err != nil {
				yield(zero, err)
				return
			}
			var items []T
			var cursor string
			if raw, ok := (*page)[member]; ok {
				err = json.Unmarshal(raw, &items)
			}
			if raw, ok := (*page)["cursor"]; ok && err == nil {
				err = json.Unmarshal(raw, &cursor)
			}
			if err != nil {
				yield(zero, fmt.Errorf("%s: %w", nsid, err))
				return
			}
			for _, item := range items {
				if !yield(item, nil) {
					return
				}
			}
			if cursor == "" || cursor == query.Get("cursor") {
				return
			}
			query.Set("cursor", cursor)
		}
	}
}

// do makes a call and gives the body of a good answer.
func (p *PDS) do(ctx context.Context, verb, nsid string, params url.Values, mimeType string, body io.Reader, editors []RequestEditorFn) (io.ReadCloser, error) {
	target := strings.TrimRight(p.client.Server, "/") + "/xrpc/" + url.PathEscape(nsid)
	if len(params) > 0 {
		target += "?" + params.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, verb, target, body)
	if err != nil {
		return nil, err
	}
	if mimeType != "" {
		req.Header.Set("Content-Type", mimeType)
	}
	rewind(req, body)
	for _, edit := range append(append([]RequestEditorFn(nil), p.client.RequestEditors...), editors...) {
		if err := edit(ctx, req); err != nil {
			return nil, err
		}
	}
	resp, err := p.client.Client.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode >= 200 && resp.StatusCode < 300 {
		return resp.Body, nil
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(io.LimitReader(resp.Body, maxError))
	return nil, errorOf(resp.StatusCode, b)
}

func decode[T any](body io.ReadCloser) (*T, error) {
	defer body.Close()
	out := new(T)
	if err := json.NewDecoder(body).Decode(out); err != nil && err != io.EOF {
		return nil, fmt.Errorf("answer: %w", err)
	}
	return out, nil
}

// rewind says how a file is sent again.
func rewind(req *http.Request, body io.Reader) {
	s, ok := body.(io.ReadSeeker)
	if !ok || req.GetBody != nil {
		return
	}
	start, err := s.Seek(0, io.SeekCurrent)
	if err != nil {
		return // a pipe
	}
	if end, err := s.Seek(0, io.SeekEnd); err == nil {
		req.ContentLength = end - start
	}
	if _, err := s.Seek(start, io.SeekStart); err != nil {
		return
	}
	req.Body = io.NopCloser(s)
	req.GetBody = func() (io.ReadCloser, error) {
		_, err := s.Seek(start, io.SeekStart)
		return io.NopCloser(s), err
	}
}
