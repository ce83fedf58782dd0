package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"
)

// A service is what the server hands calls on to: it answers at once, or as slowly as it is asked to.
type service struct {
	addr string
	http http.Server
	done sync.WaitGroup
}

// methodElsewhere is one that no server here has.
const methodElsewhere = "com.example.attack.getAnswer"

// slowest is how long it says nothing: a little less than callers wait for an answer's head.
const slowest = 8 * time.Second

func startService(addr string) (*service, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("start the service that calls are handed on to: %w", err)
	}
	s := &service{addr: l.Addr().String()}
	s.http.Handler = http.HandlerFunc(answerSlowly)
	s.http.ReadHeaderTimeout = 10 * time.Second
	s.done.Go(func() { _ = s.http.Serve(l) }) // ErrServerClosed, always
	return s, nil
}

func (s *service) close() {
	_ = s.http.Close()
	s.done.Wait()
}

func answerSlowly(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	switch r.URL.Query().Get("slow") {
	case "head":
		wait(r.Context(), slowest)
	case "body":
		for range 60 {
			if _, err := io.WriteString(w, " "); err != nil {
				return
			}
			_ = http.NewResponseController(w).Flush() // the next write says what is wrong
			wait(r.Context(), time.Second)
			if r.Context().Err() != nil {
				return
			}
		}
	}
	_, _ = io.WriteString(w, `{}`)
}

// callsPerAccount is how many of an account's calls this program has under way.
const callsPerAccount = 50

// slowServices has many calls to another service under way, which answers slowly, and B's to the same service between them.
var slowServices = class{
	name: "proxied", what: "calls a slow service through the server, many times at once, from many accounts",
	clients: 2000, short: 200, slower: 2, only: true,
	prepare: func(f *field, ctx context.Context) error {
		if err := f.callElsewhere(ctx); err != nil {
			return fmt.Errorf("the server has to hand calls on to http://%s (-service): %w", f.service.addr, err)
		}
		for i := len(f.callers); i < (f.calls+callsPerAccount-1)/callsPerAccount; i++ {
			a, err := f.signUp(ctx, f.hostA, fmt.Sprintf("c%d-%s", i, f.a.handle))
			if err != nil {
				return err
			}
			f.callers = append(f.callers, a)
		}
		return nil
	},
	asks: func(f *field, ctx context.Context) error { return f.callElsewhere(ctx) },
	start: func(ctx context.Context, f *field, n int) (*load, error) {
		if len(f.callers) == 0 {
			return nil, errors.New("no accounts")
		}
		l := newLoad(ctx)
		l.mayStay = true
		pause := func() { wait(l.ctx, 2*time.Second+time.Duration(rand.Int64N(int64(2*time.Second)))) }
		l.each(n, func(i int) {
			pause() // not all in one moment: slow calls are what this is about
			slow := []string{"head", "body"}[i%2]
			for l.ctx.Err() == nil {
				if c := l.dial(f); c != nil {
					if request(c, "GET /xrpc/"+methodElsewhere+"?slow="+slow, f.hostA, from(i, 250), "Connection: close", f.callers[i%len(f.callers)].bearer()) {
						drain(c)
					}
					l.drop(c)
				}
				pause() // longer than a refusal asks for
			}
		})
		wait(ctx, 5*time.Second)
		return l, nil
	},
}

// callElsewhere is a call of B's that is handed on and answered at once.
func (f *field) callElsewhere(ctx context.Context) error {
	return f.call(ctx, f.b, "GET", methodElsewhere, nil, nil)
}
