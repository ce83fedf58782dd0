package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/auroralocus/locus/internal/freeport"
)

// server is a PDS with the service that its calls go to.
type server struct {
	name    string
	addr    string // where it listens
	host    string // of its URL, as clients name it
	service string // host:port of the stand-in
	dir     string // of what it writes, removed with it
	admin   string
	client  *http.Client
	tokens  map[string]string // of the callers
	dids    map[string]string // DID → {name}
	running []*exec.Cmd       // in the order in which they were started
}

// newServer makes a folder and finds ports.
func newServer(name string) (*server, error) {
	dir, err := os.MkdirTemp("", "locus-proxying-")
	if err != nil {
		return nil, err
	}
	addr, err := freeport.Address()
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	_, port, _ := net.SplitHostPort(addr)
	return &server{name: name, addr: addr, host: "localhost:" + port, dir: dir, admin: "admin-pass", client: &http.Client{Timeout: 30 * time.Second}, tokens: map[string]string{}, dids: map[string]string{}}, nil
}

// startOurs starts the server of this tree, with a Postgres of its own.
func startOurs(ctx context.Context, binary, here string) (s *server, err error) {
	if s, err = newServer("ours"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.stop())
		}
	}()
	if binary == "" {
		binary = filepath.Join(s.dir, "locus")
		build := exec.CommandContext(ctx, "go", "build", "-o", binary, "./cmd/locus")
		build.Stderr = os.Stderr
		if err := build.Run(); err != nil {
			return s, fmt.Errorf("build the server: %w", err)
		}
	}
	plc, err := freeport.Address()
	if err != nil {
		return s, err
	}
	if err := s.startService(ctx, "node", here, "http://"+plc); err != nil {
		return s, err
	}
	cmd := exec.Command(binary, "serve", "--dev", "--listen", s.addr, "--plc-listen", plc, "--data-dir", filepath.Join(s.dir, "data"))
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "LOCUS_") || strings.HasPrefix(v, "LOCUS_PG_") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(cmd.Env,
		"LOCUS_ADMIN_PASSWORD="+s.admin,
		"LOCUS_APP_VIEW=did:web:view.test#bsky_appview="+s.serviceURL(),
		"LOCUS_MODERATION_SERVICE=did:web:mod.test#atproto_labeler="+s.serviceURL(),
		"LOCUS_REPORT_SERVICE=did:web:report.test#atproto_labeler="+s.serviceURL())
	if err := s.start(cmd, "server"); err != nil {
		return s, err
	}
	return s, s.ready(ctx)
}

// startReference starts the reference, which bench/reference.sh has installed, with a PLC directory of its own.
func startReference(ctx context.Context, dir, node, here string) (s *server, err error) {
	if s, err = newServer("the reference"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.stop())
		}
	}()
	plcAddr, err := freeport.Address()
	if err != nil {
		return s, err
	}
	_, plcPort, _ := net.SplitHostPort(plcAddr)
	plc := exec.Command(node, "plc.mjs", plcPort)
	plc.Dir, plc.Env = dir, append(os.Environ(), "LOG_ENABLED=0")
	if err := s.start(plc, "plc"); err != nil {
		return s, err
	}
	if err := s.startService(ctx, node, here, "http://localhost:"+plcPort); err != nil {
		return s, err
	}
	_, port, _ := net.SplitHostPort(s.addr)
	pds := exec.Command(node, "pds.mjs")
	pds.Dir = dir
	for _, sub := range []string{"blobs", "tmp"} {
		if err := os.Mkdir(filepath.Join(s.dir, sub), 0o700); err != nil {
			return s, err
		}
	}
	url := s.serviceURL()
	pds.Env = append(os.Environ(), "NODE_ENV=production", "LOG_ENABLED=0", "PDS_PORT="+port, "PDS_HOSTNAME=localhost", "PDS_DEV_MODE=true",
		"PDS_DATA_DIRECTORY="+s.dir, "PDS_BLOBSTORE_DISK_LOCATION="+filepath.Join(s.dir, "blobs"), "PDS_BLOBSTORE_DISK_TMP_LOCATION="+filepath.Join(s.dir, "tmp"),
		"PDS_DID_PLC_URL=http://localhost:"+plcPort, "PDS_DISABLE_SSRF_PROTECTION=true", "PDS_SERVICE_HANDLE_DOMAINS=.test",
		"PDS_JWT_SECRET="+secret(16), "PDS_ADMIN_PASSWORD="+s.admin, "PDS_PLC_ROTATION_KEY_K256_PRIVATE_KEY_HEX="+secret(32),
		"PDS_INVITE_REQUIRED=false", "PDS_RATE_LIMITS_ENABLED=false",
		"PDS_BSKY_APP_VIEW_URL="+url, "PDS_BSKY_APP_VIEW_DID=did:web:view.test", "PDS_MOD_SERVICE_URL="+url, "PDS_MOD_SERVICE_DID=did:web:mod.test",
		"PDS_REPORT_SERVICE_URL="+url, "PDS_REPORT_SERVICE_DID=did:web:report.test")
	if err := s.start(pds, "server"); err != nil {
		return s, err
	}
	return s, s.ready(ctx)
}

// startService starts the stand-in.
func (s *server) startService(ctx context.Context, node, here, plc string) error {
	cmd := exec.Command(node, filepath.Join(here, "service.mjs"), plc)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the stand-in: %w", err)
	}
	s.running = append(s.running, cmd)
	port, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return fmt.Errorf("the stand-in says no port: %w", err)
	}
	s.service = "127.0.0.1:" + strings.TrimSpace(port)
	return ctx.Err()
}

// start runs a program whose output goes to a file.
func (s *server) start(cmd *exec.Cmd, name string) error {
	log, err := os.Create(filepath.Join(s.dir, name+".log"))
	if err != nil {
		return err
	}
	defer log.Close() // the program has it
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	s.running = append(s.running, cmd)
	return nil
}

// ready waits until the server answers.
func (s *server) ready(ctx context.Context) error {
	var err error
	for deadline := time.Now().Add(60 * time.Second); time.Now().Before(deadline) && ctx.Err() == nil; time.Sleep(100 * time.Millisecond) {
		var d struct{ AvailableUserDomains []string }
		if err = s.ask(ctx, "GET", s.xrpc("com.atproto.server.describeServer"), "", nil, &d); err != nil {
			continue
		}
		// A session of nobody's is refused when all is there, the database too.
		var refused *refusal
		err = s.ask(ctx, "POST", s.xrpc("com.atproto.server.createSession"), "", map[string]any{"identifier": "nobody.test", "password": "none"}, nil)
		if errors.As(err, &refused) && refused.status == http.StatusUnauthorized {
			return nil
		}
	}
	log, _ := os.ReadFile(filepath.Join(s.dir, "server.log"))
	return fmt.Errorf("%s is not ready: %w\n%.3000s", s.name, err, log)
}

func (s *server) xrpc(method string) string { return "http://" + s.host + "/xrpc/" + method }

// stop ends what was started, the last first, and removes the folder.
func (s *server) stop() error {
	s.client.CloseIdleConnections()
	var failed error
	for _, cmd := range slices.Backward(s.running) {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		ended := make(chan struct{})
		go func() { _ = cmd.Wait(); close(ended) }() // a signal ended it
		select {
		case <-ended:
		case <-time.After(20 * time.Second):
			failed = errors.Join(failed, fmt.Errorf("%s: %s did not end", s.name, cmd.Path), cmd.Process.Kill())
			<-ended
		}
	}
	s.running = nil
	return errors.Join(failed, os.RemoveAll(s.dir))
}

// enrol makes the callers.
func (s *server) enrol(ctx context.Context) error {
	const password = "proxying-password"
	type session struct{ DID, AccessJwt, RefreshJwt string }
	sign := func(name string) (out session, err error) {
		handle := name + "-calls.test" // --dev has an alice
		err = s.ask(ctx, "POST", s.xrpc("com.atproto.server.createAccount"), "", map[string]any{"handle": handle, "email": handle + "@example.com", "password": password}, &out)
		s.dids[out.DID] = "{" + name + "}"
		return out, err
	}
	in := func(did, password string, more ...string) (string, error) {
		var out session
		body := map[string]any{"identifier": did, "password": password}
		for _, m := range more {
			body[m] = true
		}
		err := s.ask(ctx, "POST", s.xrpc("com.atproto.server.createSession"), "", body, &out)
		return out.AccessJwt, err
	}
	main, err := sign("alice")
	if err != nil {
		return err
	}
	s.tokens[alice], s.tokens[refresh], s.tokens[broken] = main.AccessJwt, main.RefreshJwt, main.AccessJwt[:len(main.AccessJwt)-8]+"AAAAAAAA"
	for name, full := range map[string]bool{appPass: false, privileged: true} {
		var made struct{ Password string }
		if err := s.ask(ctx, "POST", s.xrpc("com.atproto.server.createAppPassword"), main.AccessJwt, map[string]any{"name": name, "privileged": full}, &made); err != nil {
			return err
		}
		if s.tokens[name], err = in(main.DID, made.Password); err != nil {
			return err
		}
	}
	away, err := sign("carol")
	if err != nil {
		return err
	}
	s.tokens[carol] = away.AccessJwt
	if err := s.ask(ctx, "POST", s.xrpc("com.atproto.server.deactivateAccount"), away.AccessJwt, map[string]any{}, nil); err != nil {
		return err
	}
	down, err := sign("dave")
	if err != nil {
		return err
	}
	s.tokens[dave] = down.AccessJwt
	err = s.ask(ctx, "POST", s.xrpc("com.atproto.admin.updateSubjectStatus"), "admin:"+s.admin, map[string]any{
		"subject": map[string]any{"$type": "com.atproto.admin.defs#repoRef", "did": down.DID}, "takedown": map[string]any{"applied": true},
	}, nil)
	if err == nil {
		s.tokens[daveAppeal], err = in(down.DID, password, "allowTakendown")
	}
	return err
}

// serviceURL is where the stand-in is; the reference wants a name, no address.
func (s *server) serviceURL() string {
	_, port, _ := net.SplitHostPort(s.service)
	return "http://localhost:" + port
}

// own is the stand-in's DID.
func (s *server) own() string {
	_, port, _ := net.SplitHostPort(s.service)
	return "did:web:localhost%3A" + port
}

func (s *server) did(name string) string {
	for did, n := range s.dids {
		if n == "{"+name+"}" {
			return did
		}
	}
	return ""
}

// filled puts this server's names in for {alice} and {own}.
func (s *server) filled(text string) string {
	return strings.NewReplacer("{alice}", s.did("alice"), "{own}", s.own()).Replace(text)
}

// named is a text of this server's with names that both servers have.
func (s *server) named(text string) string {
	for did, name := range s.dids {
		text = strings.ReplaceAll(text, did, name)
	}
	_, port, _ := net.SplitHostPort(s.service)
	text = strings.ReplaceAll(text, s.own(), "{own}")
	text = strings.ReplaceAll(strings.ReplaceAll(text, "127.0.0.1:"+port, "{service}"), "localhost:"+port, "{service}")
	return strings.ReplaceAll(text, s.host, "{server}")
}

func secret(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}
