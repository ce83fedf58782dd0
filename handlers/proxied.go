package handlers

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"

	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/proxy"
	"github.com/auroralocus/locus/internal/proxy/afterwrite"
	"github.com/auroralocus/locus/internal/xrpc"
)

// proxied answers the methods that are not ours, by calling another service in the caller's name.
// spec: xrpc#service-proxying
type proxied struct {
	proxy *proxy.Proxy // nil: there is nothing but our own methods
	auth  xrpc.Authenticator
	// merged are the methods whose answers are completed with what the account has just written: each does the call and
	// gives the answer that is sent.
	merged map[string]func(context.Context, *proxy.Call) (*proxy.Answer, error)
}

// proxiedTakes is who may call methods elsewhere, as the access table has it.
const proxiedTakes = auth.Std | auth.NoTakedown

const methodFeed = "app.bsky.feed.getFeed"

// asked is a call that was found good: the caller may, and the service is known.
type asked struct {
	xrpc.Visitor
	req     *http.Request
	nsid    string
	account auth.Account
	caller  proxy.Caller
	target  proxy.Target
}

func (p *proxied) register(g *xrpc.Group) {
	takes := proxiedTakes.String()
	xrpc.Elsewhere(g, xrpc.Others{
		Answer: p.serve, Also: p.also,
		Access: [][]string{
			{methodGetPreferences, "GET", "account", takes, "rpc:app.bsky.actor.getPreferences?aud=SERVICE", "-", "-", "10240K", "elsewhere, if the header atproto-proxy names another app view"},
			{methodPutPreferences, "POST", "account", takes, "rpc:app.bsky.actor.putPreferences?aud=SERVICE", "104857600", "-", "10240K", "elsewhere, if the header atproto-proxy names another app view"},
			{methodFeed, "GET", "account", takes, "rpc:METHOD?aud=SERVICE, and of getFeedSkeleton", "-", "-", "10240K", "elsewhere"},
			{"app.bsky.notification.registerPush", "POST", "account", takes, "rpc:METHOD?aud=DID#bsky_notif", "153600", "-", "-", "elsewhere: the service of the body"},
			{"app.bsky.notification.unregisterPush", "POST", "account", takes, "rpc:METHOD?aud=DID#bsky_notif", "153600", "-", "-", "elsewhere: the service of the body"},
			{"chat.bsky.moderation.*", "any", "account", "full noTD", "rpc:METHOD?aud=SERVICE", "104857600", "-", "10240K", "elsewhere"},
			{"chat.bsky.*", "any", "account", "priv noTD", "rpc:METHOD?aud=SERVICE", "104857600", "-", "10240K", "elsewhere"},
			{"com.atproto.admin.*", "any", "account", "full noTD", "rpc:METHOD?aud=SERVICE", "104857600", "-", "10240K", "elsewhere, where nothing above has the name"},
			{"org.auroralocus.*", "any", "public", "none", "-", "-", "-", "-", "nowhere: 501"},
			{"tools.ozone.*", "any", "account", "full noTD", "rpc:METHOD?aud=SERVICE", "104857600", "-", "10240K", "elsewhere"},
			{"*", "any", "account", takes, "rpc:METHOD?aud=SERVICE", "104857600", "-", "10240K", "elsewhere (docs/proxying.md); what never may be: handlers/protected.go"},
		},
	})
}

const (
	methodGetPreferences = "app.bsky.actor.getPreferences"
	methodPutPreferences = "app.bsky.actor.putPreferences"
)

// also says that preferences are another app view's business this time: the caller names one that is not the tenant's.
func (p *proxied) also(v xrpc.Visitor, r *http.Request) bool {
	name := strings.TrimPrefix(r.URL.Path, "/xrpc/")
	header := v.Header("Atproto-Proxy")
	if p.proxy == nil || header == "" || name != methodGetPreferences && name != methodPutPreferences {
		return false
	}
	view, ok := p.proxy.AppView(v.Tenant)
	return !ok || view.Reference() != header
}

// serve answers a request for a method that is not ours, or that is called elsewhere this time.
func (p *proxied) serve(v xrpc.Visitor, w http.ResponseWriter, r *http.Request) error {
	nsid := strings.TrimPrefix(r.URL.Path, "/xrpc/")
	if p.proxy == nil || strings.HasPrefix(strings.ToLower(nsid), xrpc.OwnNamespace) {
		return xrpc.Refuse(http.StatusNotImplemented, "MethodNotImplemented", "Method Not Implemented")
	}
	a, err := p.admit(v, w, r, nsid)
	if err != nil {
		return err
	}
	if pushMethods[nsid] {
		return p.push(w, a)
	}
	answer, err := p.call(a)
	if err != nil {
		return ofBody(r, ofCall(err))
	}
	send(v, w, answer)
	return nil
}

func (p *proxied) call(a asked) (answer *proxy.Answer, err error) {
	call := a.call()
	if a.nsid == methodFeed {
		if call.As, err = p.feedGrant(a); err != nil {
			return nil, err
		}
	}
	if merge := p.merged[a.nsid]; merge != nil && a.req.Method == http.MethodGet {
		return merge(a.req.Context(), call)
	}
	return p.proxy.Do(a.req.Context(), call)
}

// admit finds out who calls whom, and whether they may. What costs nothing comes first; the network is asked last, and
// only for those who may call.
func (p *proxied) admit(v xrpc.Visitor, w http.ResponseWriter, r *http.Request, nsid string) (a asked, err error) {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPost:
	default:
		return a, xrpc.Invalid("XRPC requests only supports GET and POST")
	}
	if isProtected(nsid) {
		return a, xrpc.Refuse(http.StatusBadRequest, "InvalidToken", "Bad token method")
	}
	var wish proxy.Wish
	if !pushMethods[nsid] { // their body says whom they are for
		if wish, err = p.proxy.Wish(v.Tenant, nsid, v.Header("Atproto-Proxy")); err != nil {
			return a, err
		}
	}
	h := w.Header()
	h["Cache-Control"] = []string{"private"}
	h.Add("Vary", "Authorization")
	authorization := v.Header("Authorization")
	if nsid == methodGetPreferences && v.Has("did") && auth.IsService(authorization) {
		return a, xrpc.Invalid("Moderator requests cannot be proxied to other app views")
	}
	account, err := p.auth.Account(r.Context(), v.Tenant, authorization, v.Proof(), proxiedTakes)
	if err != nil {
		return a, err
	}
	a = asked{Visitor: v, req: r, nsid: nsid, account: account, caller: proxyCaller(v, account)}
	if pushMethods[nsid] {
		return a, nil
	}
	if err := mayCall(account, wish.Reference(), scopesOf(nsid)...); err != nil {
		return a, err
	}
	// A call of this server by itself must not do what getServiceAuth gives no token for.
	if service, _, _ := strings.Cut(wish.Reference(), "#"); account.IsApp() && moderates(v.Tenant, account.DID, service, nsid) {
		return a, xrpc.Refuse(http.StatusBadRequest, "InvalidToken", "Bad token method")
	}
	a.target, err = p.proxy.Find(r.Context(), v.Asker(), wish)
	return a, err
}

// scopesOf are the methods that a caller must be allowed to call for one: the app view asks the feed's own service in the
// caller's name.
func scopesOf(nsid string) []string {
	if nsid == methodFeed {
		return []string{nsid, proxy.MethodFeedSkeleton}
	}
	return []string{nsid}
}

// mayCall is the one place that says whether a credential covers calls of methods of a service, did#id. A credential
// that it does not know may call nothing.
func mayCall(a auth.Account, service string, nsids ...string) error {
	if a.ByOAuth() {
		return mayCallByOAuth(a, service, nsids...)
	}
	for _, nsid := range nsids {
		covered := false
		switch a.Scope {
		case auth.ScopeAccess:
			covered = true
		case auth.ScopeAppPassPrivileged:
			covered = !needsMain(nsid)
		case auth.ScopeAppPass:
			covered = !needsMain(nsid) && !isPrivileged(nsid)
		case auth.ScopeTakendown:
			covered = nsid == methodCreateReport
		}
		if !covered {
			return xrpc.Refuse(http.StatusBadRequest, "InvalidToken", "Bad token method")
		}
	}
	return nil
}

// proxyCaller is an account as the room of calls knows it.
func proxyCaller(v xrpc.Visitor, a auth.Account) proxy.Caller {
	return proxy.Caller{
		Tenant: v.Tenant, AID: a.AID, DID: a.DID, Asks: v.Asker(),
		May: func(nsid, service string) bool { return mayCall(a, service, nsid) == nil },
	}
}

// call is the request as it is handed on.
func (a asked) call() *proxy.Call {
	r := a.req
	c := &proxy.Call{
		Caller: a.caller, Target: a.target, NSID: a.nsid, Method: r.Method,
		Query: r.URL.RawQuery, Bare: r.URL.ForceQuery, Header: r.Header,
	}
	if body, ok := r.Body.(proxy.Body); ok && r.Method == http.MethodPost {
		c.Body, c.Length = body, r.ContentLength
	}
	return c
}

// feedGrant finds the service that makes the feed: the token is for it.
func (p *proxied) feedGrant(a asked) (*proxy.Grant, error) {
	if err := checkQuery(a.nsid, a.req.URL.RawQuery); err != nil {
		return nil, err
	}
	return p.proxy.FeedGrant(a.req.Context(), a.caller, a.target, a.req.URL.Query().Get("feed"))
}

var sendBuffers = sync.Pool{New: func() any { return new([64 << 10]byte) }}

// send passes an answer on. One that is cut is cut here, too.
func send(v xrpc.Visitor, w http.ResponseWriter, answer *proxy.Answer) {
	defer answer.Body.Close()
	h := w.Header()
	h["Content-Type"] = nil // nothing is guessed
	for _, name := range proxy.Returned {
		if values := answer.Header[name]; len(values) > 0 {
			h[name] = values
		}
	}
	if lag := answer.Header[afterwrite.HeaderLag]; len(lag) > 0 { // a merged answer's
		h[afterwrite.HeaderLag] = lag
	}
	v.Exactly()
	w.WriteHeader(answer.Status)
	buf := sendBuffers.Get().(*[64 << 10]byte)
	defer sendBuffers.Put(buf)
	for {
		n, err := answer.Body.Read(buf[:])
		if n > 0 {
			if _, err := w.Write(buf[:n]); err != nil {
				panic(http.ErrAbortHandler) // nobody is there
			}
		}
		if err == io.EOF {
			return
		}
		if err != nil {
			v.LogError(err)
			panic(http.ErrAbortHandler)
		}
	}
}

// ofCall is what a client is told of a call that came to nothing.
func ofCall(err error) error {
	var upstream *proxy.UpstreamError
	if errors.As(err, &upstream) {
		return ofUpstream(upstream)
	}
	return err
}

// ofUpstream is a service's error as clients here get it.
func ofUpstream(e *proxy.UpstreamError) *xrpc.Error {
	status, name, message := e.Status, e.Name, e.Message
	if status == http.StatusInternalServerError {
		status = http.StatusBadGateway // what broke is not this server
	}
	if name == "ExpiredToken" {
		name = "" // clients would refresh the session, which is good
	}
	if message == "" {
		message = messageOf(status)
	}
	return xrpc.Relayed(status, name, message, e.Header)
}

// messageOf is what a status says when nobody said more.
func messageOf(status int) string {
	switch status {
	case http.StatusBadRequest:
		return "Invalid Request"
	case http.StatusUnauthorized:
		return "Authentication Required"
	case http.StatusNotFound:
		return "XRPC Not Supported"
	case http.StatusTooManyRequests:
		return "Rate Limit Exceeded"
	case http.StatusBadGateway:
		return "Upstream Failure"
	case http.StatusServiceUnavailable:
		return "Not Enough Resources"
	case http.StatusGatewayTimeout:
		return "Upstream Timeout"
	}
	if text := http.StatusText(status); text != "" {
		return text
	}
	return "Upstream Failure"
}

// ofBody says what was wrong with a body that the client did not send as it should.
func ofBody(r *http.Request, err error) error {
	var broken *proxy.BodyError
	var timeout net.Error
	switch {
	case !errors.As(err, &broken), errors.Is(err, proxy.ErrBodyTooLarge):
		return err
	case errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return xrpc.Refuse(http.StatusRequestTimeout, "RequestTimeout", "the request body did not arrive in time")
	case r.Context().Err() != nil, errors.Is(err, io.ErrUnexpectedEOF):
		return xrpc.ErrClientGone
	}
	return xrpc.Invalid("the request body cannot be read")
}
