package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/auroralocus/locus/internal/procfs"
)

// prepared is what bench-prepare.mjs leaves: a confidential client, and people who are signed in and remembered.
type prepared struct {
	Client, Redirect, Issuer, PAR, Authorize, Token string
	ClientKey                                       jwk
	People                                          []*benchPerson
}

// benchPerson is one account with a browser, and a session of the client.
type benchPerson struct {
	DID, Handle, Bearer, Access, Refresh, Agent string
	Key                                         jwk
	Cookies                                     map[string]string

	signer *signer
	nonce  string
}

// An operation is one thing to measure, of one person at a time.
type operation struct {
	name, what string
	do         func(ctx context.Context, b *bench, p *benchPerson) error
}

var operations = []operation{
	{"get-session", "an XRPC call with a session token", func(ctx context.Context, b *bench, p *benchPerson) error { return b.session(ctx, p, false) }},
	{"get-session-dpop", "the same call with an OAuth token and a proof", func(ctx context.Context, b *bench, p *benchPerson) error { return b.session(ctx, p, true) }},
	{"oauth-par", "a pushed request: a client's assertion, a proof, a row", func(ctx context.Context, b *bench, p *benchPerson) error {
		_, _, err := b.push(ctx, p)
		return err
	}},
	{"oauth-sign-in", "PAR, authorization of a remembered account, and the code's tokens", signInAgain},
	{"oauth-refresh", "a refresh", refreshOnce},
}

// bench is one server under load.
type bench struct {
	prepared
	client    *http.Client
	assertion *signer
}

// point is one measured operation.
type point struct {
	operation
	done, failed int64
	seconds      float64
	cpu          time.Duration // of the server and all its children
	median, p99  time.Duration
	failure      string
}

func (p point) rate() float64 { return float64(p.done) / p.seconds }
func (p point) cost() float64 {
	if p.done == 0 {
		return 0
	}
	return p.cpu.Seconds() * 1000 / float64(p.done)
}

// benchmark prepares the server of a world and measures every operation.
func (w *world) benchmark(ctx context.Context, clients int, length time.Duration) ([]point, error) {
	file := w.path("bench-" + w.name + ".json")
	cmd := exec.CommandContext(ctx, w.node, "bench-prepare.mjs", file, fmt.Sprint(clients))
	cmd.Dir, cmd.Env, cmd.Stderr = nodeFolder, w.driverEnvironment(), os.Stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("prepare the benchmark: %w", err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	b := &bench{}
	if err := json.Unmarshal(text, &b.prepared); err != nil {
		return nil, err
	}
	// Straight to the server: TLS and the proxy in front would weigh the same on both.
	transport := &http.Transport{MaxIdleConnsPerHost: clients, DialContext: dialTo(serverAddr)}
	b.client = &http.Client{Timeout: 30 * time.Second, Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	defer b.client.CloseIdleConnections()
	if b.assertion, err = newSigner(b.ClientKey); err != nil {
		return nil, err
	}
	for _, p := range b.People {
		if p.signer, err = newSigner(p.Key); err != nil {
			return nil, err
		}
	}
	root := w.running[len(w.running)-1].Process.Pid
	var out []point
	for _, op := range operations {
		p, err := b.measure(ctx, op, root, length)
		if err != nil {
			return out, err
		}
		fmt.Printf("%-10s %-18s %7.1f/s  CPU %.3f ms  median %.2f ms  p99 %.2f ms  %d failed %s\n", w.name, op.name, p.rate(), p.cost(), ms(p.median), ms(p.p99), p.failed, p.failure)
		out = append(out, p)
	}
	return out, nil
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// measure lets each person do one operation after the other. The first half second does not count.
func (b *bench) measure(ctx context.Context, op operation, root int, length time.Duration) (point, error) {
	out := point{operation: op}
	var counting atomic.Bool
	var mu sync.Mutex
	var took []time.Duration
	ctx, cancel := context.WithTimeout(ctx, 3*length+30*time.Second)
	defer cancel()
	over := make(chan struct{})
	var clients sync.WaitGroup
	for _, p := range b.People {
		clients.Go(func() {
			for inRow := 0; inRow < 20; {
				select {
				case <-over:
					return
				default:
				}
				start := time.Now()
				err := op.do(ctx, b, p)
				d := time.Since(start)
				if err == nil {
					inRow = 0
				} else {
					inRow++
				}
				if !counting.Load() {
					continue
				}
				mu.Lock()
				if err != nil {
					out.failed++
					out.failure = err.Error()
				} else {
					out.done++
					took = append(took, d)
				}
				mu.Unlock()
			}
		})
	}
	pause(ctx, 500*time.Millisecond)
	before, err := procfs.Here.Tree(root)
	if err != nil {
		return out, errors.Join(err, ctx.Err())
	}
	counting.Store(true)
	start := time.Now()
	pause(ctx, length)
	counting.Store(false)
	out.seconds = time.Since(start).Seconds()
	after, err := procfs.Here.Tree(root)
	close(over)
	clients.Wait()
	if err != nil {
		return out, err
	}
	out.cpu = after - before
	slices.SortFunc(took, cmp.Compare[time.Duration])
	if n := len(took); n > 0 {
		out.median, out.p99 = took[n/2], took[min(n-1, n*99/100)]
	}
	return out, ctx.Err()
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// session asks who one is.
func (b *bench) session(ctx context.Context, p *benchPerson, oauth bool) error {
	at := b.Issuer + "/xrpc/com.atproto.server.getSession"
	if oauth {
		_, _, err := b.proven(ctx, p, http.MethodGet, at, p.Access, nil, http.StatusOK)
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, plain(at), nil)
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+p.Bearer)
	return b.expect(r, http.StatusOK)
}

// push asks for an authorization, and gives its URI and the secret of its code.
func (b *bench) push(ctx context.Context, p *benchPerson) (uri, verifier string, err error) {
	verifier = random(32)
	form := url.Values{
		"client_id": {b.Client}, "response_type": {"code"}, "redirect_uri": {b.Redirect}, "scope": {"atproto transition:generic"}, "state": {random(8)},
		"code_challenge": {challenge(verifier)}, "code_challenge_method": {"S256"}, "login_hint": {p.DID}, "prompt": {"none"},
	}
	text, _, err := b.proven(ctx, p, http.MethodPost, b.PAR, "", b.assert(form), http.StatusCreated)
	if err != nil {
		return "", "", err
	}
	var out struct {
		URI string `json:"request_uri"`
	}
	err = json.Unmarshal(text, &out)
	return out.URI, verifier, err
}

// signInAgain is what an app does whose user comes back.
func signInAgain(ctx context.Context, b *bench, p *benchPerson) error {
	uri, verifier, err := b.push(ctx, p)
	if err != nil {
		return err
	}
	code, err := b.visit(ctx, p, b.Authorize+"?"+url.Values{"client_id": {b.Client}, "request_uri": {uri}}.Encode())
	if err != nil {
		return err
	}
	form := url.Values{"grant_type": {"authorization_code"}, "client_id": {b.Client}, "code": {code}, "redirect_uri": {b.Redirect}, "code_verifier": {verifier}}
	return b.tokens(ctx, p, form)
}

func refreshOnce(ctx context.Context, b *bench, p *benchPerson) error {
	return b.tokens(ctx, p, url.Values{"grant_type": {"refresh_token"}, "client_id": {b.Client}, "refresh_token": {p.Refresh}})
}

func (b *bench) tokens(ctx context.Context, p *benchPerson, form url.Values) error {
	text, _, err := b.proven(ctx, p, http.MethodPost, b.Token, "", b.assert(form), http.StatusOK)
	if err != nil {
		return err
	}
	var out struct {
		Access  string `json:"access_token"`
		Refresh string `json:"refresh_token"`
	}
	if err := json.Unmarshal(text, &out); err != nil {
		return err
	}
	p.Access, p.Refresh = out.Access, out.Refresh
	return nil
}

// compareBench measures ours, and the reference in the same run where there is one.
func compareBench(ctx context.Context, o options) error {
	measured := map[string][]point{}
	dirs := []string{""}
	if o.reference != "" {
		dirs = []string{o.reference, ""}
	}
	for _, dir := range dirs {
		o.reference = dir
		w, err := build(ctx, o)
		if err != nil {
			return err
		}
		points, err := w.benchmark(ctx, 8, time.Duration(o.seconds)*time.Second)
		err = errors.Join(err, w.close())
		if err != nil {
			return err
		}
		measured[w.name] = points
	}
	theirs := measured["reference"]
	fmt.Println("\n| operation | reference op/s | locus op/s | × | reference CPU ms | locus CPU ms | ÷ |\n|---|--:|--:|--:|--:|--:|--:|")
	for i, p := range measured["locus"] {
		if i >= len(theirs) {
			fmt.Printf("| %s | | %.1f | | | %.3f | |\n", p.name, p.rate(), p.cost())
			continue
		}
		r := theirs[i]
		fmt.Printf("| %s | %.1f | %.1f | **%.2f** | %.2f | %.3f | **%.2f** |\n", p.name, r.rate(), p.rate(), p.rate()/r.rate(), r.cost(), p.cost(), r.cost()/p.cost())
	}
	return nil
}
