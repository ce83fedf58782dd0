package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/internal/fair"
	"github.com/auroralocus/locus/internal/firehose"
	"github.com/auroralocus/locus/internal/inbound"
	"github.com/auroralocus/locus/internal/job"
	"github.com/auroralocus/locus/internal/keyring"
	"github.com/auroralocus/locus/internal/mail/outbox"
	"github.com/auroralocus/locus/internal/proxy"
	"github.com/auroralocus/locus/internal/tenant"
	"github.com/auroralocus/locus/internal/xrpc"
)

const lifeHost = "life.test"

// lifeHouse is a deployment of two processes in this one, on one database, with the built-in PLC directory.
type lifeHouse struct {
	t     *testing.T
	db    *db.DB
	url   string
	dir   string
	nodes [2]*app
	web   [2]*httptest.Server
	port  int
	net   network
	of    *tenant.Tenant
}

func newLifeHouse(t *testing.T) *lifeHouse {
	t.Helper()
	h := &lifeHouse{t: t, dir: t.TempDir()}
	h.url = dbtest.URL(t)
	h.db = dbtest.Open(t, h.url)
	master, err := keyring.LoadOrCreateMaster(filepath.Join(h.dir, "master.key"))
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	for i := range h.web {
		h.web[i] = httptest.NewUnstartedServer(nil)
	}
	h.port = h.web[0].Listener.Addr().(*net.TCPAddr).Port
	facts := tenant.Deployment{Development: true, Scheme: "http", Port: h.port}
	if h.net, err = (outsideFlags{}).reach(facts, h.db, log); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for i := range h.nodes {
		flags := dataFlags{DataDir: h.dir}
		keys, err := keyring.New(master, 0) // each its own
		if err != nil {
			t.Fatal(err)
		}
		a := assemble(h.db, keys, facts.Config(true), h.net.resolver, h.net.clients, proxy.Config{}, outbox.Config{}, flags.blobs(), fair.NewBytes(xrpc.DefaultAnswerMemory), inbound.Proxies{}, nil, log)
		h.nodes[i] = a
		h.web[i].Config.Handler = a.server()
		h.web[i].Start()
		for _, loop := range []func(context.Context) error{a.tenants.Run, a.server().Run} {
			running.Go(func() { _ = loop(ctx) })
		}
	}
	t.Cleanup(func() {
		stop()
		running.Wait()
		for i, a := range h.nodes {
			h.web[i].CloseClientConnections()
			h.web[i].Close()
			a.close()
		}
		h.net.close()
	})
	h.of, err = h.nodes[0].acts.CreateTenant(t.Context(), byCommand(), tenant.Spec{
		Hostname: lifeHost, HandleDomains: []string{lifeHost}, AdminPassword: "hunter2-hunter2", Settings: map[string]string{"signup": "open", "crawlers": ""},
	})
	if err != nil {
		t.Fatal(err)
	}
	for node := range h.nodes { // the other one hears of it within a second
		h.until("the tenant", func() bool {
			status, _, _ := h.ask(node, "GET", lifeHost, "/xrpc/com.atproto.server.describeServer", "", nil)
			return status == 200
		})
	}
	return h
}

// until waits for a condition, which both processes come to by themselves.
func (h *lifeHouse) until(what string, ok func() bool) {
	h.t.Helper()
	for began := time.Now(); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > time.Minute {
			h.t.Fatal(what + " does not come")
		}
	}
}

// ask asks a process something.
func (h *lifeHouse) ask(node int, verb, host, path, token string, body any) (int, string, http.Header) {
	h.t.Helper()
	var in io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			h.t.Fatal(err)
		}
		in = bytes.NewReader(text)
	}
	r, err := http.NewRequestWithContext(h.t.Context(), verb, h.web[node].URL+path, in)
	if err != nil {
		h.t.Fatal(err)
	}
	r.Host = host
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	c := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	answer, err := c.Do(r)
	if err != nil {
		h.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	return answer.StatusCode, string(text), answer.Header
}

type lifeAccount struct {
	DID     string `json:"did"`
	Handle  string `json:"handle"`
	Access  string `json:"accessJwt"`
	Refresh string `json:"refreshJwt"`
}

func (h *lifeHouse) account(host, name string) (a lifeAccount) {
	h.t.Helper()
	status, text, _ := h.ask(0, "POST", host, "/xrpc/com.atproto.server.createAccount", "", map[string]string{"handle": name + "." + host, "email": name + "@mail.example.com", "password": "hunter2-" + name})
	if status != 200 || json.Unmarshal([]byte(text), &a) != nil {
		h.t.Fatal(status, text)
	}
	h.write(host, a)
	return a
}

func (h *lifeHouse) write(host string, a lifeAccount) {
	h.t.Helper()
	status, text, _ := h.ask(0, "POST", host, "/xrpc/com.atproto.repo.createRecord", a.Access, map[string]any{
		"repo": a.DID, "collection": "com.example.note", "record": map[string]any{"$type": "com.example.note", "text": "hello"},
	})
	if status != 200 {
		h.t.Fatal(status, text)
	}
}

// do does a job in the first process, and gives its result.
func (h *lifeHouse) do(spec job.Spec, result any) {
	h.t.Helper()
	j, err := h.nodes[0].jobs.Do(h.t.Context(), spec, nil)
	if err == nil {
		err = j.Into(result)
	}
	if err != nil {
		h.t.Fatal(spec.Kind, err)
	}
}

// relay follows a stream and writes down what it says of each account.
type relay struct {
	t    *testing.T
	mu   sync.Mutex
	said []string
	done chan error
}

func (h *lifeHouse) relay(host string, cursor int) *relay {
	h.t.Helper()
	path := "/xrpc/com.atproto.sync.subscribeRepos?cursor=" + strconv.Itoa(cursor)
	conn, answer, err := websocket.Dial(h.t.Context(), "ws"+strings.TrimPrefix(h.web[1].URL, "http")+path, &websocket.DialOptions{Host: host})
	if err != nil {
		h.t.Fatal(answer, err)
	}
	conn.SetReadLimit(firehose.MaxFrame)
	r := &relay{t: h.t, done: make(chan error, 1)}
	ctx, stop := context.WithCancel(context.Background())
	h.t.Cleanup(func() { stop(); _ = conn.CloseNow() })
	go func() {
		last := int64(cursor)
		for {
			_, b, err := conn.Read(ctx)
			if err != nil {
				r.done <- err
				return
			}
			f, err := firehose.Decode(b)
			if err != nil || f.Seq != last+1 {
				r.done <- fmt.Errorf("after %d comes %+v, %v", last, f, err)
				return
			}
			last = f.Seq
			text := map[firehose.Kind]string{firehose.KindCommit: "#commit", firehose.KindSync: "#sync", firehose.KindIdentity: "#identity", firehose.KindAccount: "#account"}[f.Kind] + " " + f.DID
			if f.Kind == firehose.KindAccount {
				text += fmt.Sprint(" ", f.Active, " ", f.Status)
			}
			r.mu.Lock()
			r.said = append(r.said, text)
			r.mu.Unlock()
		}
	}()
	return r
}

// hears waits until the relay was told something, n times.
func (r *relay) hears(text string, n int) {
	r.t.Helper()
	for began := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		r.mu.Lock()
		have := 0
		for _, s := range r.said {
			if s == text {
				have++
			}
		}
		all := strings.Join(r.said, "\n")
		r.mu.Unlock()
		switch {
		case have == n:
			return
		case have > n, time.Since(began) > time.Minute:
			r.t.Fatalf("%q %d times of\n%s", text, have, all)
		}
		select {
		case err := <-r.done:
			r.t.Fatalf("the relay complains: %v", err)
		default:
		}
	}
}
