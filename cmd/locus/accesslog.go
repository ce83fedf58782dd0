package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/auroralocus/locus/internal/xrpc"
)

// accessLog writes a line for requests that were answered: for all, one in N, or only those that failed here. There is
// no query, no header and no body in it, so no token either.
type accessLog struct {
	log   *slog.Logger
	every atomic.Int64 // one in so many; 0: failures only; -1: none
	count atomic.Int64

	mu     sync.Mutex
	minute time.Time
	failed map[int]*repeated // by status, of this minute
}

// failuresWritten bounds the lines of one status in a minute: while something is away each request fails.
const failuresWritten = 30

// longestPath bounds what a stranger can put into the log.
const longestPath = 200

var errAccessLog = errors.New("not a choice of requests to log: off, errors, all, or 1/N")

func parseAccessLog(text string) (every int64, err error) {
	switch text {
	case "", "errors":
		return 0, nil
	case "off":
		return -1, nil
	case "all":
		return 1, nil
	}
	if n, ok := strings.CutPrefix(text, "1/"); ok {
		if every, err = strconv.ParseInt(n, 10, 64); err == nil && every > 0 {
			return every, nil
		}
	}
	return 0, fmt.Errorf("%w: %q", errAccessLog, text)
}

func newAccessLog(log *slog.Logger, choice string) (*accessLog, error) {
	l := &accessLog{log: log, failed: map[int]*repeated{}}
	return l, l.choose(choice)
}

// choose changes the choice while requests are answered.
func (l *accessLog) choose(text string) error {
	every, err := parseAccessLog(text)
	if err == nil {
		l.every.Store(every)
	}
	return err
}

// wants says whether an answer is written, and how many failures of its kind were not since the last line.
func (l *accessLog) wants(a *xrpc.Answered) (unsaid int, ok bool) {
	every := l.every.Load()
	switch {
	case every < 0, a.Request.URL.Path == "/xrpc/_health" && a.Status == http.StatusOK:
		return 0, false
	case every > 0 && l.count.Add(1)%every == 0:
		return 0, true
	case a.Status < http.StatusInternalServerError:
		return 0, false
	}
	return l.mayFail(a.Status, time.Now())
}

func (l *accessLog) mayFail(status int, now time.Time) (unsaid int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if minute := now.Truncate(time.Minute); minute != l.minute {
		l.minute = minute
		for _, one := range l.failed {
			one.lines = 0
		}
	}
	one := l.failed[status]
	if one == nil {
		one = &repeated{}
		l.failed[status] = one
	}
	if one.lines++; one.lines > failuresWritten {
		one.unsaid++
		return 0, false
	}
	unsaid, one.unsaid = one.unsaid, 0
	return unsaid, true
}

// note writes a request down, if it is to be.
func (l *accessLog) note(a *xrpc.Answered) {
	unsaid, ok := l.wants(a)
	level := slog.LevelInfo
	if !ok {
		if level = slog.LevelDebug; !l.log.Enabled(a.Request.Context(), level) {
			return
		}
	}
	tenant := ""
	if a.Tenant != nil {
		tenant = a.Tenant.Hostname
	}
	attrs := []slog.Attr{
		slog.String("tenant", tenant), slog.String("account", a.Account), slog.String("address", a.Addr.String()),
		slog.String("method", a.Method), slog.String("verb", verb(a.Request.Method)), slog.Int("code", a.Status),
		slog.Float64("ms", float64(a.Took.Microseconds())/1000), slog.Int64("bytes", a.Bytes),
	}
	if !strings.Contains(a.Method, ".") { // a page, or what a stranger thinks up
		path := a.Request.URL.Path
		attrs = append(attrs, slog.String("path", path[:min(len(path), longestPath)]))
	}
	if a.Stream {
		attrs = append(attrs, slog.Bool("stream", true))
	}
	if unsaid > 0 {
		attrs = append(attrs, slog.Int("unsaid", unsaid))
	}
	l.log.LogAttrs(context.WithoutCancel(a.Request.Context()), level, "request", attrs...)
}

// verb is a request's, if it is one that there is.
func verb(text string) string {
	switch text {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions, http.MethodConnect, http.MethodTrace:
		return text
	}
	return "other"
}
