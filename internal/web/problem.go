package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/fair"
	"github.com/auroralocus/locus/internal/tenant"
)

// Problem is an error that becomes a page. The text Key+".title" says what happened, Key what to do.
type Problem struct {
	Status int
	Key    string
	Args   []any         // of both texts
	Wait   time.Duration // after which it is worth another try; 0: not said
	Back   string        // a path of ours to go on at; "": none
	Label  string        // key of the text of the link there; "": "go on"
}

func (p *Problem) Error() string { return fmt.Sprintf("page %d %s", p.Status, p.Key) }

func (p *Problem) args() []any {
	if p.Wait <= 0 {
		return p.Args
	}
	return append(p.Args, "n", int((p.Wait+time.Minute-1)/time.Minute))
}

func (p *Problem) head(h http.Header) {
	if p.Wait > 0 {
		h.Set("Retry-After", strconv.Itoa(int((p.Wait+time.Second-1)/time.Second)))
	}
}

var (
	errForeign = &Problem{Status: http.StatusForbidden, Key: "problem.foreign"}
	errNotHere = &Problem{Status: http.StatusForbidden, Key: "problem.framed"}
	errNoForm  = &Problem{Status: http.StatusBadRequest, Key: "problem.form"}
	errLarge   = &Problem{Status: http.StatusRequestEntityTooLarge, Key: "problem.large"}
	errStale   = &Problem{Status: http.StatusForbidden, Key: "problem.stale"}
)

// NotFound is the page for what is not there.
var NotFound = &Problem{Status: http.StatusNotFound, Key: "problem.notfound"}

// problemOf is the one table from what rooms refuse with to pages, for what a room of pages did not answer itself.
func (v *Visit) problemOf(err error) *Problem {
	var p *Problem
	var wait *act.WaitError
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &wait):
		return &Problem{Status: http.StatusTooManyRequests, Key: "problem.wait", Wait: max(time.Second, wait.Wait)}
	case errors.Is(err, tenant.ErrTenantSuspended):
		return &Problem{Status: http.StatusServiceUnavailable, Key: "problem.suspended", Wait: time.Hour}
	case errors.Is(err, tenant.ErrTenantDeleted):
		return &Problem{Status: http.StatusGone, Key: "problem.deleted"}
	case errors.Is(err, account.ErrBusy), errors.Is(err, db.ErrUnavailable), errors.Is(err, fair.ErrNoBytes):
		return &Problem{Status: http.StatusServiceUnavailable, Key: "problem.busy", Wait: 10 * time.Second}
	case errors.Is(err, context.Canceled) && v.R.Context().Err() != nil:
		return &Problem{Status: http.StatusServiceUnavailable, Key: "problem.busy", Wait: 10 * time.Second}
	}
	v.Caller.LogError(err)
	return &Problem{Status: http.StatusInternalServerError, Key: "problem.internal", Args: []any{"id", v.Caller.RequestID()}}
}

// problem answers with the page of an error.
func (v *Visit) problem(err error) {
	p := v.problemOf(err)
	p.head(v.W.Header())
	if err := v.Show(p.Status, framePages()["problem"], p); err != nil {
		v.Caller.LogError(err)
		http.Error(v.W, http.StatusText(p.Status), p.Status)
	}
}

// SayProblem is a text of the page's problem.
func (v *View) SayProblem(suffix string) string {
	p, ok := v.Data.(*Problem)
	if !ok {
		return ""
	}
	return v.Say(p.Key+suffix, p.args()...)
}
