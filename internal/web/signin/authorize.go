package signin

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/oauth"
	"github.com/auroralocus/locus/internal/oauth/client"
	"github.com/auroralocus/locus/internal/oauth/scope"
	"github.com/auroralocus/locus/internal/web"
)

func (p *Pages) getAuthorize(w *web.Visit) error {
	v, err := p.errandOfApp(w)
	if err != nil {
		return err
	}
	if d := v.app.device; d != nil && (!w.HasKey() || string(w.Key()) != string(d)) {
		return problem(http.StatusForbidden, "other_browser")
	}
	if done, err := v.keepsCookies(); done {
		return err
	}
	return v.show(v.Next(v.wish))
}

func (p *Pages) postAuthorize(w *web.Visit, f web.Form) error {
	v, err := p.errandOfApp(w)
	if err != nil {
		return err
	}
	// The first browser that does something owns the request. Looking is not enough: programs look at links, too.
	if _, err := p.Acts.HoldAuthorization(w.R.Context(), w.Tenant, w.Key(), v.app.client.ID, v.app.uri); err != nil {
		return requestProblem(err)
	}
	return v.take(f)
}

// errandOfApp is the errand of somebody whom an app has sent here.
func (p *Pages) errandOfApp(w *web.Visit) (*visit, error) {
	if !documentAsked(w.R) {
		return nil, problem(http.StatusForbidden, "leave")
	}
	q := w.R.URL.Query()
	id, uri := q.Get("client_id"), q.Get("request_uri")
	if uri == "" {
		return nil, problem(http.StatusBadRequest, "plain")
	}
	ctx := w.R.Context()
	r, c, err := p.Acts.OpenAuthorization(ctx, w.Tenant, w.Visitor(), id, uri)
	if err != nil {
		return nil, requestProblem(err)
	}
	w.Speak(r.Params.Languages)
	v := &visit{Visit: w, pages: p, path: pathAuthorize, query: url.Values{"client_id": {id}, "request_uri": {uri}}}
	v.app = &app{
		uri: uri, client: c, trusted: p.Acts.TrustedClient(w.Tenant, id), asked: r.Scopes(), back: r.Params.Redirect, expires: r.ExpiresAt,
		device: r.Device, granted: map[int64]scope.Set{},
	}
	v.App, v.Prompt, v.Hint, v.Since = true, r.Params.Prompt, r.Params.LoginHint, r.CreatedAt
	v.AskAlways = c.Development || !c.Confidential && !v.app.trusted
	for _, a := range w.For(uri) {
		granted, ok, err := p.Acts.ConsentOf(ctx, w.Tenant, a.AID, id)
		if err != nil {
			return nil, err
		}
		if ok {
			v.app.granted[a.AID] = granted
		}
	}
	if strings.HasPrefix(v.Hint, "did:") {
		if a, err := p.Acts.Actors.ByDID(ctx, w.Tenant.Schema, v.Hint, account.Fresh); err == nil {
			v.app.hintHandle = a.Handle
		} else if !errors.Is(err, account.ErrNotFound) {
			return nil, err
		}
	}
	v.common()
	return v, nil
}

// documentAsked says whether a browser goes to the page, in a window of its own, as far as it tells.
func documentAsked(r *http.Request) bool {
	mode, dest := r.Header.Get("Sec-Fetch-Mode"), r.Header.Get("Sec-Fetch-Dest")
	return (mode == "" || mode == "navigate") && (dest == "" || dest == "document")
}

func problem(status int, key string, args ...any) error {
	return &web.Problem{Status: status, Key: "signin.problem." + key, Args: args}
}

// requestProblem is the page for a request that cannot be gone on with. Nobody is sent anywhere: whether the address to go
// back to is the app's is not known, or it is not this browser's to say.
func requestProblem(err error) error {
	switch {
	case errors.Is(err, oauth.ErrRequest):
		return problem(http.StatusBadRequest, "unknown")
	case errors.Is(err, oauth.ErrDevice):
		return problem(http.StatusForbidden, "other_browser")
	case errors.Is(err, client.ErrID), errors.Is(err, client.ErrMetadata), errors.Is(err, client.ErrRedirect), errors.Is(err, client.ErrUnavailable):
		return problem(http.StatusBadRequest, "client", "reason", err.Error())
	}
	return err
}

// refuse sends the person back to the app with an error.
func (v *visit) refuse(name, text string) error {
	if v.app == nil {
		return v.Redirect(pathSignIn)
	}
	if text == "" {
		text = map[string]string{
			oauth.LoginRequired:     "The user has to sign in",
			oauth.ConsentRequired:   "The user has to be asked",
			oauth.SelectionRequired: "The user has to choose an account",
		}[name]
	}
	back, err := v.pages.Acts.DenyAuthorization(v.R.Context(), v.Tenant, v.Key(), v.app.client.ID, v.app.uri, name, text)
	if err != nil {
		return requestProblem(err)
	}
	return v.depart(back)
}

// grant says yes to the app, and sends the person back.
func (v *visit) grant(k *Known, granted scope.Set) error {
	s := v.Account(k.DID, v.app.uri)
	if s == nil {
		return v.Redirect(v.url("", ""))
	}
	back, err := v.pages.Acts.GrantAuthorization(v.R.Context(), v.Tenant, v.Owner(s), v.Key(), v.app.client.ID, v.app.uri, granted)
	var refused *oauth.Refusal
	switch {
	case err == nil:
		return v.depart(back)
	case errors.Is(err, account.ErrCredentials), errors.Is(err, auth.ErrAccountNotFound), errors.Is(err, auth.ErrAccountTakedown), errors.As(err, &refused):
		return v.Redirect(v.url(StepSignIn, ""))
	case errors.Is(err, auth.ErrAccountDeactivated):
		return v.Redirect(v.url("", k.DID))
	}
	return requestProblem(err)
}
