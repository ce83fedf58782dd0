package admin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/limit"
	"github.com/auroralocus/locus/internal/tenant"
	"github.com/auroralocus/locus/internal/xrpc"
)

// Limits of a request.
const (
	maxBody  = 256 << 10
	bodyTime = 30 * time.Second
)

// declaration is what is said of an operation where it is registered.
type declaration struct {
	verb, path string
	id         string
	summary    string
	doc        string
	status     int // of success; 0: 200
	stream     bool
}

func get(path, id, summary string) declaration {
	return declaration{verb: http.MethodGet, path: path, id: id, summary: summary}
}

func post(path, id, summary string) declaration {
	return declaration{verb: http.MethodPost, path: path, id: id, summary: summary}
}

func put(path, id, summary string) declaration {
	return declaration{verb: http.MethodPut, path: path, id: id, summary: summary}
}

func patch(path, id, summary string) declaration {
	return declaration{verb: http.MethodPatch, path: path, id: id, summary: summary}
}

func remove(path, id, summary string) declaration {
	return declaration{verb: http.MethodDelete, path: path, id: id, summary: summary, status: http.StatusNoContent}
}

// saying adds sentences to the document.
func (d declaration) saying(text string) declaration { d.doc = text; return d }

// answering names another status of success.
func (d declaration) answering(status int) declaration { d.status = status; return d }

// streaming says that the answer is a stream of events.
func (d declaration) streaming() declaration { d.stream = true; return d }

// operation is a registered one.
type operation struct {
	declaration
	class class
}

// changes says whether it may change something.
func (o *operation) changes() bool { return o.verb != http.MethodGet }

// group is what operations are registered on.
type group struct {
	server *Server
	api    huma.API
	now    *operation // being registered
}

// call is one request on its way.
type call struct {
	s         *Server
	req       *http.Request
	requestID string
	addr      netip.Addr
	caller    Caller
	tenant    *tenant.Tenant
}

type callKey struct{}

func (c *call) in(ctx context.Context) context.Context {
	return xrpc.WithErrorForm(context.WithValue(ctx, callKey{}, c), c.fromHuma)
}

var requestCount atomic.Int64

func (s *Server) arrive(_ http.ResponseWriter, r *http.Request) *call {
	id := r.Header.Get("X-Request-Id")
	if id == "" || len(id) > 64 || strings.Trim(id, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_") != "" {
		id = fmt.Sprintf("op-%x-%d", s.Now().UnixMilli(), requestCount.Add(1))
	}
	return &call{s: s, req: r, requestID: id, addr: s.Proxies.Client(r)}
}

// recover answers a panic, and keeps it in the log.
func (c *call) recover(w http.ResponseWriter) {
	v := recover()
	if v == nil {
		return
	}
	if v == http.ErrAbortHandler {
		panic(v)
	}
	c.s.Log.Error("operator request failed", "id", c.requestID, "method", c.req.Method, "path", c.req.URL.Path, "err", fmt.Sprintf("panic: %v\n%s", v, debug.Stack()))
	writeProblem(w, refuse(http.StatusInternalServerError, codeInternal, "Something went wrong here"))
}

// fail is the answer to an error, whose cause goes to the log when the answer hides it.
func (c *call) fail(ctx context.Context, err error) *Problem {
	p, hidden := problemOf(ctx, err)
	if hidden && !(errors.Is(err, context.Canceled) && ctx.Err() != nil) {
		c.s.Log.Error("operator request failed", "id", c.requestID, "method", c.req.Method, "path", c.req.URL.Path, "status", p.Status, "err", err)
	}
	copied := *p
	copied.RequestID = c.requestID
	return &copied
}

// gatedMux puts the gate in front of what Huma registers: nothing of a body is read before it is known who calls.
type gatedMux struct {
	*http.ServeMux
	g *group
}

func (m gatedMux) HandleFunc(pattern string, h func(http.ResponseWriter, *http.Request)) {
	op := m.g.now
	m.g.server.named[pattern] = op
	m.ServeMux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		c := r.Context().Value(callKey{}).(*call)
		if p := c.enter(r, op); p != nil {
			writeProblem(w, p)
			return
		}
		body, p := c.body(w, r)
		if p != nil {
			writeProblem(w, p)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		key := r.Header.Get("Idempotency-Key")
		if op.verb != http.MethodPost || key == "" {
			h(w, r)
			return
		}
		c.s.repeats.serve(c, w, r, key, body, h)
	})
}

// enter establishes who calls, whether they may, and which tenant it is about.
func (c *call) enter(r *http.Request, op *operation) *Problem {
	ctx := r.Context()
	if !c.s.rates.MayTry(c.addr) {
		return refuse(http.StatusTooManyRequests, codeTooMany, "Too many bad tokens came from your address").after(limit.FailWindow)
	}
	who, err := auth.Deployment(ctx, c.s.DB, r.Header.Get("Authorization"), c.s.Now().UTC())
	switch {
	case errors.Is(err, auth.ErrMissing):
		return refuse(http.StatusUnauthorized, codeNoToken, "This needs a token: Authorization: Bearer locusdep_… ('locus token create' makes one)")
	case errors.Is(err, auth.ErrOperator):
		c.s.rates.Failed(c.addr)
		c.s.Acts.FailedOperator(ctx, limit.Network(c.addr), "token")
		return refuse(http.StatusUnauthorized, codeNoToken, "The token is wrong, has expired or was revoked")
	case err != nil:
		return c.fail(ctx, err)
	}
	c.caller = Caller{who, c.addr.String(), c.requestID}
	if wait := c.s.rates.Take(who.TokenID); wait > 0 {
		return refuse(http.StatusTooManyRequests, codeTooMany, "A token makes at most %d requests a minute", limit.PerMinute).after(wait)
	}
	if !op.class.allows(who) {
		return c.forbidden(r, op, fmt.Sprintf("A token of role %s may not do this: it is for %s", who.Role, rolesOf(op.class)))
	}
	if !op.class.tenant {
		return nil
	}
	t, err := c.s.find(ctx, r.PathValue("tenant"))
	if who.Role == auth.DeploymentTenant && (err != nil || t.ID != who.TenantID) {
		return c.forbidden(r, op, "This token is for one tenant, and not for this one") // whether or not there is such a tenant
	}
	if err != nil {
		return c.fail(ctx, err)
	}
	c.tenant = t
	return nil
}

// forbidden refuses a caller, and writes down what it wanted to change.
func (c *call) forbidden(r *http.Request, op *operation, why string) *Problem {
	if op.changes() {
		if err := c.s.Acts.Refused(r.Context(), c.caller.by(), op.id, c.caller.TenantID, r.PathValue("tenant"), codeForbidden); err != nil {
			return c.fail(r.Context(), err)
		}
	}
	return refuse(http.StatusForbidden, codeForbidden, "%s", why)
}

// find is the tenant that a path names, by hostname or number.
func (s *Server) find(ctx context.Context, name string) (*tenant.Tenant, error) {
	if id, err := strconv.ParseInt(name, 10, 64); err == nil {
		if err := s.Tenants.Refresh(ctx); err != nil {
			return nil, err
		}
		return s.Tenants.ByID(ctx, id)
	}
	return s.Tenants.Get(ctx, name)
}

// body reads a request's body: all of them are small.
func (c *call) body(w http.ResponseWriter, r *http.Request) ([]byte, *Problem) {
	if r.Body == nil || r.Body == http.NoBody {
		return nil, nil
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTime)) // a test's recorder has none
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, refuse(http.StatusRequestEntityTooLarge, codeTooLarge, "A body has at most %d bytes", maxBody)
	case err != nil:
		return nil, refuse(http.StatusBadRequest, codeInvalid, "The body did not come whole")
	}
	return b, nil
}

// register is the one way to Huma.
func register[C, I, O any](g *group, d declaration, cl class, caller func(*call) C, h func(context.Context, C, *I) (*O, error)) {
	if cl.tenant != strings.Contains(d.path, "{tenant}") {
		panic(d.id + ": its path and its registrar do not agree whether it is about one tenant")
	}
	op := &operation{d, cl}
	g.server.operations = append(g.server.operations, op)
	g.now = op
	huma.Register(g.api, op.huma(), func(ctx context.Context, in *I) (*O, error) {
		c := ctx.Value(callKey{}).(*call)
		out, err := h(ctx, caller(c), in)
		if err != nil {
			return nil, c.fail(ctx, err)
		}
		return out, nil
	})
}

var _ humago.Mux = gatedMux{}
