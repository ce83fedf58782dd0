package web

import (
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/device"
	"github.com/auroralocus/locus/internal/xrpc"
)

// Frame makes pages. It is safe for concurrent use.
type Frame struct {
	acts *act.Acts
	now  func() time.Time
	log  *slog.Logger

	mu    sync.Mutex
	looks map[int64]*look // by tenant: as many as there are
}

// New makes the frame.
func New(acts *act.Acts, now func() time.Time, log *slog.Logger) *Frame {
	return &Frame{acts: acts, now: now, log: log, looks: map[int64]*look{}}
}

// Register serves what all pages need, and says where no page is.
func (f *Frame) Register(g *xrpc.Group) {
	framePages() // a broken one is found now, not by a visitor
	xrpc.Page(g, "GET "+assetPath+"{name}", serveAsset)
	xrpc.Stands(g, xrpc.Standing{Path: assetPath + "{name}", Suspended: xrpc.Serves, Deleted: xrpc.Serves, Why: "the pages that say so look as always"})
	f.Get(g, "/account/{page}", func(*Visit) error { return NotFound })
}

// Get registers a page at a path as [http.ServeMux] knows them. An error that h gives becomes a page ([Problem]).
func (f *Frame) Get(g *xrpc.Group, path string, h func(*Visit) error) {
	f.page(g, "GET "+path, func(v *Visit) error {
		if !v.navigated() {
			return errNotHere
		}
		return h(v)
	})
}

// Post registers what a form is sent to. Only forms that were sent from a page of this tenant reach h.
func (f *Frame) Post(g *xrpc.Group, path string, h func(*Visit, Form) error) {
	f.page(g, "POST "+path, func(v *Visit) error {
		form, err := v.form()
		if err != nil {
			return err
		}
		return h(v, form)
	})
}

// page registers both. While the tenant is suspended or deleted people are told so on a page.
func (f *Frame) page(g *xrpc.Group, pattern string, h func(*Visit) error) {
	_, path, _ := strings.Cut(pattern, " ")
	xrpc.SaysAway(g, path)
	xrpc.Page(g, pattern, func(c xrpc.Visitor, w http.ResponseWriter, r *http.Request) error {
		v := &Visit{Tenant: c.Tenant, Caller: c, W: w, R: r, frame: f, policy: map[string][]string{}}
		v.settle(w.Header())
		err := v.enter()
		if err == nil {
			err = c.Away()
		}
		if err == nil {
			err = h(v)
		}
		if err != nil {
			v.problem(err)
		}
		return nil
	})
}

// Browser is what the acts of devices want to know of whoever looks.
func (v *Visit) Browser() act.Browser {
	seen := device.Seen{Agent: v.R.UserAgent()}
	if a := v.Caller.Addr(); a.IsValid() {
		seen.Address = a.String()
	}
	return act.Browser{Presented: v.presented(), Seen: seen}
}
