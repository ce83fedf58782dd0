package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/auroralocus/locus/internal/freeport"
)

// field is where the attack takes place: a server, the attacked tenant A and its neighbour B.
type field struct {
	addr         string
	hostA, hostB string
	pid          int
	a, b         account
	client       *http.Client // of calls that are no attack

	large []string // CIDs of A's large records

	pictures []string     // B's, which nobody has seen yet
	picture  atomic.Int64 // how many of them were asked for
	mover    account      // another account of B's, and its repository
	archive  []byte

	service *service  // that calls are handed on to
	callers []account // A's, who call it
	calls   int       // how many such calls there will be at once

	stop func() error // of a server that was started here
}

// account is one of a tenant.
type account struct{ host, did, handle, access string }

func (a account) bearer() string { return "Authorization: Bearer " + a.access }

const (
	collection = "com.example.attack"
	password   = "attack-password"
)

// enter starts or finds the server and makes an account at each tenant.
func enter(ctx context.Context, o options) (*field, error) {
	f := &field{addr: o.addr, pid: o.pid, stop: func() error { return nil }}
	f.client = &http.Client{Timeout: 60 * time.Second, Transport: &http.Transport{
		MaxIdleConnsPerHost: 4,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, network, f.addr)
		},
	}}
	var err error
	if f.service, err = startService(o.service); err != nil {
		return nil, err
	}
	if o.addr == "" {
		if err := f.startServer(ctx, o.binary); err != nil {
			f.service.close()
			return nil, err
		}
	} else {
		host, _, err := net.SplitHostPort(o.addr)
		if ip := net.ParseIP(host); err != nil || o.pid == 0 || host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			f.service.close()
			return nil, errors.New("-addr must be host:port on loopback, and goes with -pid")
		}
	}
	_, port, _ := net.SplitHostPort(f.addr)
	f.hostA, f.hostB = "localhost:"+port, "beta.localhost:"+port
	name := fmt.Sprintf("x%x", time.Now().UnixNano()%0xffffffffff)
	if f.a, err = f.signUp(ctx, f.hostA, name+".test"); err == nil {
		f.b, err = f.signUp(ctx, f.hostB, name+".beta.test")
	}
	for i := range 20 {
		if err == nil {
			err = f.call(ctx, f.b, "POST", "com.atproto.repo.createRecord", map[string]any{
				"repo": f.b.did, "collection": collection, "rkey": recordKey(i), "record": map[string]any{"text": "hello"},
			}, nil)
		}
	}
	if err != nil {
		return nil, errors.Join(err, f.leave())
	}
	return f, nil
}

// startServer runs a server with its own Postgres in a folder that is removed with it.
func (f *field) startServer(ctx context.Context, binary string) error {
	dir, err := os.MkdirTemp("", "locus-attack-")
	if err != nil {
		return err
	}
	if binary == "" {
		binary = filepath.Join(dir, "locus")
		build := exec.CommandContext(ctx, "go", "build", "-o", binary, "./cmd/locus")
		build.Stderr = os.Stderr
		if err := build.Run(); err != nil {
			return errors.Join(fmt.Errorf("build the server: %w", err), os.RemoveAll(dir))
		}
	}
	var plc string
	for _, addr := range []*string{&f.addr, &plc} {
		var err error
		if *addr, err = freeport.Address(); err != nil {
			return errors.Join(err, os.RemoveAll(dir))
		}
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return errors.Join(err, os.RemoveAll(dir))
	}
	server := exec.Command(binary, "serve", "--dev", "--listen", f.addr, "--plc-listen", plc, "--data-dir", filepath.Join(dir, "data"))
	server.Stdout, server.Stderr = log, log
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "LOCUS_") || strings.HasPrefix(v, "LOCUS_PG_") {
			server.Env = append(server.Env, v)
		}
	}
	server.Env = append(server.Env, "LOCUS_APP_VIEW=did:web:view.test=http://"+f.service.addr)
	if err := server.Start(); err != nil {
		return errors.Join(fmt.Errorf("start the server: %w", err), os.RemoveAll(dir))
	}
	f.pid = server.Process.Pid
	ended := make(chan error, 1)
	go func() { ended <- server.Wait() }()
	f.stop = func() error {
		_ = server.Process.Signal(syscall.SIGTERM)
		var err error
		select {
		case err = <-ended:
		case <-time.After(30 * time.Second):
			err = errors.Join(errors.New("the server did not end within 30 s"), server.Process.Kill())
		}
		return errors.Join(err, log.Close(), os.RemoveAll(dir))
	}
	for deadline := time.Now().Add(60 * time.Second); ; wait(ctx, 100*time.Millisecond) {
		res, err := f.client.Get("http://" + f.addr + "/xrpc/_health")
		if err == nil {
			_ = res.Body.Close()
			// The tenants come a little later than the first answer.
			if err = f.call(ctx, account{host: "beta.localhost"}, "GET", "com.atproto.server.describeServer", nil, nil); err == nil {
				return nil
			}
		}
		select {
		case <-ended:
			text, _ := os.ReadFile(log.Name())
			f.stop = func() error { return os.RemoveAll(dir) }
			return errors.Join(fmt.Errorf("the server ended: %.2000s", text), f.stop())
		default:
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			return errors.Join(fmt.Errorf("the server is not ready: %w", err), f.stop())
		}
	}
}

func (f *field) leave() error {
	f.client.CloseIdleConnections()
	defer f.service.close()
	return f.stop()
}

func (f *field) signUp(ctx context.Context, host, handle string) (account, error) {
	a := account{host: host, handle: handle}
	var out struct{ DID, AccessJwt string }
	err := f.call(ctx, a, "POST", "com.atproto.server.createAccount", map[string]any{"handle": handle, "email": handle + "@example.com", "password": password}, &out)
	a.did, a.access = out.DID, out.AccessJwt
	return a, err
}

// fetch gets a path of B's to its end.
func (f *field) fetch(ctx context.Context, path string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, "GET", "http://"+f.addr+path, nil)
	if err != nil {
		return nil, err
	}
	r.Host = f.hostB
	res, err := f.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		return nil, errors.Join(fmt.Errorf("%s: %s %.300s", path, res.Status, text), err)
	}
	return text, nil
}

// call calls a method as an account, with its query in the name.
func (f *field) call(ctx context.Context, as account, verb, method string, in, out any) error {
	if in == nil {
		return f.do(ctx, as, verb, method, "", nil, out)
	}
	text, err := json.Marshal(in)
	if err != nil {
		return err
	}
	return f.do(ctx, as, verb, method, "application/json", bytes.NewReader(text), out)
}

// send calls a procedure with a body of another type than JSON.
func (f *field) send(ctx context.Context, as account, method, contentType string, body io.Reader, out any) error {
	return f.do(ctx, as, "POST", method, contentType, body, out)
}

func (f *field) do(ctx context.Context, as account, verb, method, contentType string, body io.Reader, out any) error {
	r, err := http.NewRequestWithContext(ctx, verb, "http://"+f.addr+"/xrpc/"+method, body)
	if err != nil {
		return err
	}
	r.Host = as.host
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	if as.access != "" {
		r.Header.Set("Authorization", "Bearer "+as.access)
	}
	res, err := f.client.Do(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s %.300s", method, res.Status, text)
	}
	if err == nil && out != nil {
		err = json.Unmarshal(text, out)
	}
	return err
}

func recordKey(i int) string { return fmt.Sprintf("r%03d", i) }

// largeRecords makes A's repository large, once.
func (f *field) largeRecords(ctx context.Context) error {
	for i := len(f.large); i < 30; i++ {
		var out struct{ CID string }
		text := strings.Repeat(fmt.Sprintf("%08d", i), 990_000/8)
		err := f.call(ctx, f.a, "POST", "com.atproto.repo.createRecord", map[string]any{
			"repo": f.a.did, "collection": collection, "rkey": recordKey(i), "record": map[string]any{"text": text},
		}, &out)
		if err != nil {
			return err
		}
		f.large = append(f.large, out.CID)
	}
	return nil
}
