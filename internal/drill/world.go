package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/embedded"
	"github.com/auroralocus/locus/internal/freeport"
	"github.com/auroralocus/locus/internal/identity/plcdir"
)

// world is everything that runs.
type world struct {
	dir     string
	locus   string
	first   *pair  // control and tenants
	second  *pair  // tenants only
	plc     string // URL of the directory
	nodes   []*node
	front   string // address of the balancer
	live    atomic.Pointer[[]*url.URL]
	env     []string
	closing []func()
}

// node is one process of the server.
type node struct {
	addr string
	cmd  *exec.Cmd
	done chan error
}

func build(ctx context.Context, locus string) (w *world, err error) {
	dir, err := os.MkdirTemp("", "locus-drill-")
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(dir, 0o755); err != nil { // Postgres runs as somebody else where this is root
		return nil, err
	}
	w = &world{dir: dir, locus: locus}
	if w.locus == "" {
		w.locus = w.path("locus")
		if out, err := exec.CommandContext(ctx, "go", "build", "-o", w.locus, "./cmd/locus").CombinedOutput(); err != nil {
			return w, fmt.Errorf("build: %w\n%s", err, out)
		}
	}
	archiving, err := w.archiving()
	if err != nil {
		return w, err
	}
	if w.first, err = w.startPair(ctx, "first", archiving...); err != nil {
		return w, err
	}
	if w.second, err = w.startPair(ctx, "second"); err != nil {
		return w, err
	}
	if err := w.startDirectory(ctx); err != nil {
		return w, err
	}
	if err := w.startFront(); err != nil {
		return w, err
	}
	w.environment()
	for range 2 {
		if err := w.startNode(ctx); err != nil {
			return w, err
		}
	}
	return w, nil
}

func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

// environment is what servers and commands share, without settings of whoever started this.
func (w *world) environment() {
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "LOCUS_") {
			w.env = append(w.env, v)
		}
	}
	var key [32]byte
	_, _ = rand.Read(key[:])
	_, port, _ := net.SplitHostPort(w.front)
	w.env = append(w.env,
		"LOCUS_DATABASE_URL="+w.first.url, "LOCUS_DATABASE_NODES=second="+w.second.url, "LOCUS_DATABASE_REPLICAS="+w.first.standby.URL+"\nsecond="+w.second.standby.URL,
		"LOCUS_MASTER_KEY="+hex.EncodeToString(key[:]),
		"LOCUS_PLC_URL="+w.plc, "LOCUS_PUBLIC_SCHEME=http", "LOCUS_PUBLIC_PORT="+port, "LOCUS_DEV_NAMES=1",
		"LOCUS_DATA_DIR="+w.path("data"), "LOCUS_BLOB_STORE=disk:"+w.path("blobs"), "LOCUS_OPERATOR=drill")
}

// startDirectory serves a directory of DIDs from a database of its own, which nothing happens to.
func (w *world) startDirectory(ctx context.Context) error {
	s, err := embedded.Start(ctx, w.path("directory"), slog.New(slog.DiscardHandler), embedded.Setting("fsync", "off"))
	if err != nil {
		return err
	}
	w.closing = append(w.closing, func() { _ = s.Stop() })
	d, err := db.Open(ctx, db.Config{URL: s.URL})
	if err != nil {
		return err
	}
	w.closing = append(w.closing, d.Close)
	if err := d.MigrateControl(ctx); err != nil {
		return err
	}
	at, err := w.serve(plcdir.New(d, time.Now, false).Handler("drill", slog.New(slog.DiscardHandler)))
	w.plc = "http://" + at
	return err
}

func (w *world) serve(h http.Handler) (addr string, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	s := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
	go func() { _ = s.Serve(l) }()
	w.closing = append(w.closing, func() { _ = s.Close() })
	return l.Addr().String(), nil
}

// startFront balances between the servers that are up. It answers 502 without a body when it gets no answer from one.
func (w *world) startFront() (err error) {
	var turn atomic.Int64
	w.live.Store(&[]*url.URL{})
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			live := *w.live.Load()
			if len(live) > 0 {
				r.SetURL(live[int(turn.Add(1))%len(live)])
			}
			r.Out.Host = r.In.Host
			r.SetXForwarded()
		},
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug),
	}
	w.front, err = w.serve(proxy)
	return err
}

func (w *world) startNode(ctx context.Context) error {
	addr, err := freeport.Address()
	if err != nil {
		return err
	}
	out, err := os.Create(w.path(fmt.Sprintf("node%d.log", len(w.nodes)+1)))
	if err != nil {
		return err
	}
	n := &node{addr: addr, cmd: exec.Command(w.locus, "serve", "--listen", addr), done: make(chan error, 1)}
	n.cmd.Env, n.cmd.Stderr, n.cmd.Stdout = w.env, out, out
	if err := n.cmd.Start(); err != nil {
		return err
	}
	go func() { n.done <- n.cmd.Wait(); out.Close() }()
	w.closing = append(w.closing, func() { n.stop() })
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/", nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err == nil { // any answer will do: there is no tenant yet
			resp.Body.Close()
			break
		}
		select {
		case err := <-n.done:
			n.done <- err
			text, _ := os.ReadFile(out.Name())
			return fmt.Errorf("the server ended: %w\n%s", err, text)
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
	w.nodes = append(w.nodes, n)
	w.balance()
	return nil
}

func (w *world) balance() {
	var live []*url.URL
	for _, n := range w.nodes {
		live = append(live, &url.URL{Scheme: "http", Host: n.addr})
	}
	w.live.Store(&live)
}

// stop ends a server as an operator does.
func (n *node) stop() {
	_ = n.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-n.done:
		n.done <- err
	case <-time.After(30 * time.Second):
		_ = n.cmd.Process.Kill()
		n.done <- <-n.done
	}
}

// kill ends a server as a power cut does.
func (n *node) kill() {
	_ = n.cmd.Process.Kill()
	n.done <- <-n.done
}

// command runs the server's program, and gives what it prints.
func (w *world) command(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, w.locus, args...)
	cmd.Env = w.env
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("locus %s: %w\n%s%s", strings.Join(args, " "), err, out.String(), errs.String())
	}
	return out.String(), nil
}

// sql changes what no operator should.
func (w *world) sql(ctx context.Context, server *embedded.Server, text string) error {
	c, err := pgx.Connect(ctx, server.URL)
	if err != nil {
		return err
	}
	defer c.Close(ctx)
	_, err = c.Exec(ctx, text, pgx.QueryExecModeSimpleProtocol)
	return err
}

func (w *world) close() {
	for _, f := range slices.Backward(w.closing) {
		f()
	}
	w.closing = nil
}
