package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/auroralocus/locus/db/dbtest"
)

// proxyProgram finds a real proxy. Its package is one of Debian's that the tests need.
func proxyProgram(t *testing.T, name string) string {
	t.Helper()
	for _, at := range []string{name, "/usr/sbin/" + name} {
		if found, err := exec.LookPath(at); err == nil {
			return found
		}
	}
	t.Fatalf("%s is not installed: sh internal/setup/proxies.sh installs it (make test does)", name)
	return ""
}

// behind is a server with a proxy in front of it, made from an example of deploy/.
type behind struct {
	*testing.T
	server *served
	admin  string
	dir    string // of the proxy
	http   string
	https  string
	user   lifeAccount
}

const behindHost, behindUser, behindPassword = "pds.example.com", "alice.pds.example.com", "hunter2-hunter2"

// TestBehindProxies runs the examples of deploy/ with the real programs.
func TestBehindProxies(t *testing.T) {
	t.Parallel()
	url, dir := dbtest.EmptyURL(t), filepath.Join(t.TempDir(), "data")
	plc := newPLC(t)
	ok, _ := on(t, url, dir, "LOCUS_PLC_URL="+plc)
	ok("tenant", "create", behindHost, "crawlers=")
	ok("account", "create", behindHost, behindUser, "--email", "alice@example.com", "--password", behindPassword)
	admin := "127.0.0.1:" + freePort(t)
	// Of the proxies at 127.0.0.1 only their word counts; a CDN at 198.51.100.0/24 stands in front of them for one check.
	s := serveFor(t, url, dir, []string{"LOCUS_PLC_URL=" + plc}, "--admin-listen", admin, "--trusted-proxies", "127.0.0.1,198.51.100.0/24")
	for name, start := range map[string]func(*behind){"caddy": startCaddy, "nginx": startNginx, "haproxy": startHAProxy} {
		t.Run(name, func(t *testing.T) {
			b := &behind{T: t, server: s, admin: admin, dir: t.TempDir(), http: "127.0.0.1:" + freePort(t), https: "127.0.0.1:" + freePort(t)}
			start(b)
			b.works()
		})
	}
	t.Run("ask", func(t *testing.T) { asked(t, admin, s.port) })
}

// asked: what Caddy's on-demand TLS asks, and nobody outside.
func asked(t *testing.T, admin, web string) {
	status := func(url string) int {
		r, err := http.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		_ = r.Body.Close()
		return r.StatusCode
	}
	for domain, want := range map[string]int{
		behindHost: 200, behindUser: 200, strings.ToUpper(behindUser): 200, "nobody." + behindHost: 403, "example.com": 403, "a." + behindUser: 403, "": 403, "10.0.0.1": 403,
		"*." + behindHost: 403,
	} {
		if got := status("http://" + admin + "/ask?domain=" + domain); got != want {
			t.Errorf("%q: %d, want %d", domain, got, want)
		}
	}
	if got := status("http://127.0.0.1:" + web + "/ask?domain=" + behindHost); got == 200 {
		t.Error("strangers may ask")
	}
}

// example is a file of deploy/ with some of its texts changed for here; each must be there.
func (b *behind) example(name string, changes ...string) string {
	b.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "deploy", filepath.FromSlash(name)))
	if err != nil {
		b.Fatal(err)
	}
	out := string(text)
	for i := 0; i < len(changes); i += 2 {
		if !strings.Contains(out, changes[i]) {
			b.Fatalf("deploy/%s has no %q", name, changes[i])
		}
		out = strings.ReplaceAll(out, changes[i], changes[i+1])
	}
	file := filepath.Join(b.dir, filepath.Base(name))
	if err := os.WriteFile(file, []byte(out), 0o600); err != nil {
		b.Fatal(err)
	}
	return file
}

// pair is a certificate in two files, and in one.
func (b *behind) pair() (cert, key string) {
	b.Helper()
	cert, key = filepath.Join(b.dir, "cert.pem"), filepath.Join(b.dir, "key.pem")
	certified(b.T, cert, key, behindHost, "*."+behindHost)
	return cert, key
}

// run runs a proxy until the test has ended, and waits until it listens.
func (b *behind) run(env []string, program string, args ...string) {
	b.Helper()
	said := new(lockedBuffer)
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = said, said
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	b.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			_ = cmd.Process.Kill()
			<-ended
		}
		if b.Failed() {
			b.Logf("%s", said)
		}
	})
	comes(b.T, program, func() (bool, bool) {
		select {
		case <-ended:
			b.Fatalf("%s ended:\n%s", program, said)
		default:
		}
		c, err := net.Dial("tcp", b.https)
		if err == nil {
			_ = c.Close()
		}
		return true, err == nil
	})
}

func startCaddy(b *behind) {
	program := proxyProgram(b.T, "caddy")
	// Its own authority stands for a public one: certificates are made when a name is first visited.
	file := b.example("caddy/Caddyfile", "{\n\ton_demand_tls {", fmt.Sprintf("{\n\tadmin off\n\tlocal_certs\n\tskip_install_trust\n\thttps_port %s\n\thttp_port %s\n\ton_demand_tls {", port(b.https), port(b.http)))
	b.run([]string{
		"LOCUS_ADMIN=" + b.admin, "LOCUS_BACKENDS=127.0.0.1:" + b.server.port, "LOCUS_SITES=https://", "HOME=" + b.dir, "XDG_DATA_HOME=" + b.dir, "XDG_CONFIG_HOME=" + b.dir,
	}, program, "run", "--adapter", "caddyfile", "--config", file)
	c := b.client()
	if _, err := c.Get("https://nobody." + behindHost + "/"); err == nil {
		b.Error("caddy has a certificate for a name that nobody has")
	}
}

func startNginx(b *behind) {
	program := proxyProgram(b.T, "nginx")
	cert, key := b.pair()
	site := b.example("nginx/locus.conf", "127.0.0.1:2583", "127.0.0.1:"+b.server.port, "listen 80 ", "listen "+b.http+" ", "listen 443 ", "listen "+b.https+" ",
		"/etc/ssl/locus/cert.pem", cert, "/etc/ssl/locus/key.pem", key)
	whole := filepath.Join(b.dir, "nginx.conf")
	text := fmt.Sprintf("daemon off;\nuser root;\nworker_processes 1;\npid %[1]s/pid;\nerror_log stderr;\nevents {}\nhttp {\naccess_log off;\n", b.dir)
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		text += fmt.Sprintf("%s_temp_path %s/%s;\n", kind, b.dir, kind)
	}
	if os.Getuid() != 0 {
		text = strings.Replace(text, "user root;\n", "", 1)
	}
	if err := os.WriteFile(whole, []byte(text+"include "+site+";\n}\n"), 0o600); err != nil {
		b.Fatal(err)
	}
	b.run(nil, program, "-e", "stderr", "-p", b.dir, "-c", whole)
}

func startHAProxy(b *behind) {
	program := proxyProgram(b.T, "haproxy")
	cert, key := b.pair()
	folder := filepath.Join(b.dir, "certs")
	var both bytes.Buffer
	for _, file := range []string{cert, key} {
		text, err := os.ReadFile(file)
		if err != nil {
			b.Fatal(err)
		}
		both.Write(text)
	}
	if err := os.Mkdir(folder, 0o700); err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "all.pem"), both.Bytes(), 0o600); err != nil {
		b.Fatal(err)
	}
	file := b.example("haproxy/haproxy.cfg", "bind :80\n", "bind "+b.http+"\n", "bind :443 ", "bind "+b.https+" ", "maxconn 20000", "maxconn 200", "/etc/haproxy/certs/", folder+"/", "server one 127.0.0.1:2583", "server one 127.0.0.1:"+b.server.port)
	b.run(nil, program, "-db", "-f", file)
}

// client reaches the proxy under every name. Whom its certificates are from is not this test's matter.
func (b *behind) client() *http.Client {
	tr := &http.Transport{
		ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
			to := b.https
			if port(addr) == "80" {
				to = b.http
			}
			return new(net.Dialer).DialContext(ctx, "tcp", to)
		},
	}
	b.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func (b *behind) ask(verb, url string, body io.Reader, header ...string) (*http.Response, string) {
	b.Helper()
	r, err := http.NewRequestWithContext(b.Context(), verb, url, body)
	if err != nil {
		b.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := b.client().Do(r)
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		b.Fatal(err)
	}
	return resp, string(text)
}

func (b *behind) works() {
	const api = "https://" + behindHost + "/xrpc/"
	comes(b.T, "an answer through the proxy", func() (bool, bool) { // its check of the backend may come first
		r, _ := b.ask("GET", api+"com.atproto.server.describeServer", nil)
		return true, r.StatusCode == 200
	})
	if r, text := b.ask("GET", "https://"+behindHost+"/account", nil); r.StatusCode >= 400 || r.ProtoMajor != 2 {
		b.Errorf("a page: %s by %s: %.200s", r.Status, r.Proto, text)
	}
	if r, text := b.ask("GET", "https://"+behindUser+"/.well-known/atproto-did", nil); r.StatusCode != 200 || !strings.HasPrefix(text, "did:plc:") {
		b.Errorf("a handle: %s: %.200s", r.Status, text)
	}
	if r, _ := b.ask("GET", "http://"+behindHost+"/account?x=1", nil); r.StatusCode != 308 || !strings.Contains(r.Header.Get("Location"), behindHost) || !strings.HasPrefix(r.Header.Get("Location"), "https://") {
		b.Errorf("by http: %s to %s", r.Status, r.Header.Get("Location"))
	}
	r, text := b.ask("POST", api+"com.atproto.server.createSession", strings.NewReader(`{"identifier":"`+behindUser+`","password":"`+behindPassword+`"}`), "Content-Type", "application/json")
	if err := json.Unmarshal([]byte(text), &b.user); err != nil || r.StatusCode != 200 {
		b.Fatalf("a session: %s: %s", r.Status, text)
	}
	big := bytes.Repeat([]byte("locus"), 800_000) // 4 MB: more than proxies allow by themselves
	if r, text := b.ask("POST", api+"com.atproto.repo.uploadBlob", bytes.NewReader(big), "Content-Type", "application/octet-stream", "Authorization", "Bearer "+b.user.Access); r.StatusCode != 200 || !strings.Contains(text, fmt.Sprintf(`"size":%d`, len(big))) {
		b.Errorf("a file: %s: %s", r.Status, text)
	}
	b.streams(api)
	b.addresses(api)
}

// streams: an event that happens later comes through a stream that was quiet.
func (b *behind) streams(api string) {
	c := b.client()
	c.Transport.(*http.Transport).ForceAttemptHTTP2 = false
	c.Transport.(*http.Transport).TLSClientConfig.NextProtos = []string{"http/1.1"}
	s, _, err := websocket.Dial(b.Context(), "wss://"+behindHost+"/xrpc/com.atproto.sync.subscribeRepos", &websocket.DialOptions{HTTPClient: c})
	if err != nil {
		b.Fatal(err)
	}
	defer s.CloseNow()
	for n := range 3 {
		text := fmt.Sprintf(`{"repo":%q,"collection":"app.bsky.feed.post","record":{"$type":"app.bsky.feed.post","text":"%d","createdAt":"2026-01-01T00:00:00Z"}}`, b.user.DID, n)
		if r, text := b.ask("POST", api+"com.atproto.repo.createRecord", strings.NewReader(text), "Content-Type", "application/json", "Authorization", "Bearer "+b.user.Access); r.StatusCode != 200 {
			b.Fatalf("a post: %s: %s", r.Status, text)
		}
		if _, frame, err := s.Read(b.Context()); err != nil || !bytes.Contains(frame, []byte("#commit")) {
			b.Fatalf("%q, %v", frame, err)
		}
	}
}

// addresses: what a client writes itself in X-Forwarded-For changes nothing.
func (b *behind) addresses(api string) {
	left := func(forwarded string) string {
		r, _ := b.ask("GET", api+"com.atproto.server.describeServer", nil, "X-Forwarded-For", forwarded)
		return r.Header.Get("Ratelimit-Remaining")
	}
	seen := map[string]bool{}
	for _, forwarded := range []string{"203.0.113.1", "203.0.113.2", "203.0.113.3, 198.51.100.1"} {
		seen[left(forwarded)] = true
	}
	if seen[""] || len(seen) != 3 {
		b.Errorf("calls left: %v; a client that names itself others has one limit, which falls with each call", seen)
	}
}
