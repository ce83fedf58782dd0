package xrpc

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/auroralocus/locus/internal/lexicon"
)

// call is Huma's view of one request, with the gate in it: Huma reads the parameters, then asks for the body,
// and that is where the caller is established; a method without a body comes here by [call.enter].
type call struct {
	humaContext
	req     *http.Request
	w       http.ResponseWriter
	state   *state
	op      *Operation
	caller  any // *C of the registering function
	refusal *Error
	in      incoming
	entered bool
}

// humaContext is embedded under another name than its method Context.
type humaContext = huma.Context

// before is the middleware of one operation.
func (op *Operation) before(ctx huma.Context, next func(huma.Context)) {
	r, w := humago.Unwrap(ctx)
	if e := op.parameters(r); e != nil {
		WriteError(w, e)
		return
	}
	c := &call{humaContext: ctx, req: r, w: w, state: stateOf(r.Context()), op: op}
	c.state.call = c
	next(c)
}

// parameters holds a request's parameters against the lexicon and leaves in the request what counts.
func (op *Operation) parameters(r *http.Request) *Error {
	query, err := op.asked.CheckParams(r.URL.RawQuery)
	if err != nil {
		text, _ := lexicon.Violation(err)
		return Invalid("%s", text)
	}
	if query != r.URL.RawQuery {
		u := *r.URL
		u.RawQuery, r.URL = query, &u
	}
	return nil
}

// callOf finds the gate's view behind what Huma passes around.
func callOf(ctx huma.Context) *call {
	for ctx != nil {
		if c, ok := ctx.(*call); ok {
			return c
		}
		u, ok := ctx.(interface{ Unwrap() huma.Context })
		if !ok {
			return nil
		}
		ctx = u.Unwrap()
	}
	return nil
}

func (c *call) Unwrap() huma.Context { return c.humaContext }

func (c *call) visitor() Visitor { return c.state.visitor() }

func (c *call) authorization() string { return c.req.Header.Get("Authorization") }

// enter establishes the caller and looks at the body's head, once. What is wrong stays in c.refusal.
func (c *call) enter() *Error {
	if c.entered {
		return c.refusal
	}
	c.entered = true
	if c.op.Class != "public" && c.authorization() != "" {
		h := c.w.Header()
		h["Cache-Control"] = []string{"private"}
		h.Add("Vary", "Authorization")
	}
	if err := c.op.establish(c.req.Context(), c); err != nil {
		c.refusal = c.fail(err)
		return c.refusal
	}
	c.refusal = c.in.open(c)
	return c.refusal
}

// fail translates an error for the client and logs what the answer hides.
func (c *call) fail(err error) *Error {
	if c.state.failed != nil {
		c.state.failed(c.state.Tenant, err)
	}
	e := c.state.fail(err)
	e.head(c.w.Header())
	return e
}

// BodyReader gives Huma the body: nothing at all when the caller or the body's head was refused. Huma then
// finds an empty body and asks [fromHuma] for an error, which finds the refusal.
func (c *call) BodyReader() io.Reader {
	if c.enter() != nil {
		return bytes.NewReader(nil)
	}
	return &c.in
}

// Header answers Huma with the checked content type, so that its own look at it cannot fail.
func (c *call) Header(name string) string {
	if name == "Content-Type" && c.op.Input == "application/json" {
		return "application/json"
	}
	return c.req.Header.Get(name)
}

// Query is the value of a parameter. Huma's own takes "a&b=1" for a parameter called "a&b".
func (c *call) Query(name string) string { return c.req.URL.Query().Get(name) }

// SetReadDeadline is Huma's; [arrival] looks after the deadlines of bodies.
func (c *call) SetReadDeadline(time.Time) error { return nil }

// stateKey finds the request's state in its context.
type stateKey struct{}

func stateOf(ctx context.Context) *state { return ctx.Value(stateKey{}).(*state) }
