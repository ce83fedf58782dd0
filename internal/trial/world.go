package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
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
	"time"

	"github.com/miekg/dns"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/embedded"
	"github.com/auroralocus/locus/internal/blob/blobtest"
	"github.com/auroralocus/locus/internal/certs/certstest"
	"github.com/auroralocus/locus/internal/identity/plcdir"
	"github.com/auroralocus/locus/internal/mail/mailtest"
)

// The hosts of the small internet, by the names that the page and the defaults of the settings have for them.
const (
	directoryHost = "plc.directory"
	authorityHost = "acme-v02.api.letsencrypt.org"
	bucketHost    = "s3.example.com"
	mailHost      = "mail.example.com"

	packagesPort = ":3142"

	// signer is a key by which the mail server might sign: nobody checks what it signs here.
	signer = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="

	bucketUser     = blobtest.AccessKey
	bucketPassword = blobtest.SecretKey
	mailUser       = "user"
	mailPassword   = "mail-of-the-trial"
)

// zones are what the operator has; everything below them is the new machine.
var zones = []string{"example.com", "example.org", "example.net"}

// world is the machine and the small internet around it.
type world struct {
	dir     string
	root    string               // of the machine
	leader  string               // the number of its first process
	ca      *certstest.Authority // signs for the hosts
	roots   *x509.CertPool       // of the certificates that visitors see
	bucket  string               // the S3 server, without the front
	mails   *mailtest.Box        // as providers have it: STARTTLS, and a password before anything is taken
	closing []func()
}

func (w *world) close() {
	for _, f := range slices.Backward(w.closing) {
		f()
	}
	w.closing = nil
}

// build starts everything but the machine itself.
func (w *world) build(ctx context.Context) error {
	if err := w.connect(ctx); err != nil {
		return err
	}
	var err error
	if w.ca, err = certstest.New(); err != nil {
		return err
	}
	if err := w.names(); err != nil {
		return err
	}
	if err := w.packages(); err != nil {
		return err
	}
	directory, err := w.directory(ctx)
	if err != nil {
		return err
	}
	endpoint, stop, err := blobtest.Start()
	if err != nil {
		return err
	}
	w.closing = append(w.closing, stop)
	w.bucket = endpoint
	if _, err := blobtest.Bucket(ctx, endpoint, "blobs"); err != nil {
		return err
	}
	pebble, root, err := w.pebble(ctx)
	if err != nil {
		return err
	}
	w.roots = x509.NewCertPool()
	w.roots.AppendCertsFromPEM(root)
	cert, err := w.ca.Certificate(mailHost)
	if err != nil {
		return err
	}
	post := mailtest.BoxConfig{Addr: outside + ":587", TLS: &tls.Config{Certificates: []tls.Certificate{*cert}}, Mechanism: "PLAIN", User: mailUser, Password: mailPassword}
	if w.mails, err = mailtest.Open(post); err != nil {
		return err
	}
	w.closing = append(w.closing, w.mails.Close)
	through := w.through(pebble)
	certificates := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/directory" {
			r.URL.Path = "/dir" // as Pebble calls it
		}
		through.ServeHTTP(rw, r)
	})
	if err := w.front(map[string]http.Handler{directoryHost: directory, bucketHost: w.through(endpoint), authorityHost: certificates}); err != nil {
		return err
	}
	// The machine trusts what a machine on the real internet trusts: who signs for these hosts, and for its own names.
	file := filepath.Join(w.root, "usr/local/share/ca-certificates/small-internet.crt")
	other := filepath.Join(w.root, "usr/local/share/ca-certificates/pebble.crt")
	if err := errors.Join(os.WriteFile(file, w.ca.PEM, 0o644), os.WriteFile(other, root, 0o644)); err != nil {
		return err
	}
	return quietly(exec.CommandContext(ctx, "chroot", w.root, "update-ca-certificates"))
}

// names answers for the operator's zones and for the hosts. Nothing else exists.
func (w *world) names() error {
	conn, err := net.ListenPacket("udp", outside+":53")
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", outside+":53")
	if err != nil {
		return errors.Join(err, conn.Close())
	}
	answer := dns.HandlerFunc(func(to dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		m.RecursionAvailable = true
		if len(q.Question) == 1 {
			answers(m, q.Question[0])
		}
		_ = to.WriteMsg(m) // who asked may be gone
	})
	for _, s := range []*dns.Server{{PacketConn: conn, Handler: answer}, {Listener: l, Handler: answer}} {
		go func() { _ = s.ActivateAndServe() }() // until it is shut down
		w.closing = append(w.closing, func() { _ = s.Shutdown() })
	}
	return nil
}

func answers(m *dns.Msg, q dns.Question) {
	name := strings.TrimSuffix(strings.ToLower(q.Name), ".")
	zone := slices.IndexFunc(zones, func(z string) bool { return name == z || strings.HasSuffix(name, "."+z) })
	header := dns.RR_Header{Name: q.Name, Rrtype: q.Qtype, Class: dns.ClassINET, Ttl: 60}
	switch host := slices.Contains([]string{directoryHost, authorityHost, bucketHost, mailHost}, name); {
	case host && q.Qtype == dns.TypeA:
		m.Answer = append(m.Answer, &dns.A{Hdr: header, A: net.ParseIP(outside)})
	case host:
	case zone < 0:
		m.Rcode = dns.RcodeNameError
	case q.Qtype == dns.TypeA && !strings.HasPrefix(name, "_"):
		m.Answer = append(m.Answer, &dns.A{Hdr: header, A: net.ParseIP(inside)})
	case q.Qtype == dns.TypeTXT && strings.HasPrefix(name, "s1._domainkey."): // as a provider of mail gives it
		m.Answer = append(m.Answer, &dns.TXT{Hdr: header, Txt: []string{"v=DKIM1; k=ed25519; p=" + signer}})
	case q.Qtype == dns.TypeTXT && strings.HasPrefix(name, "_dmarc."):
		m.Answer = append(m.Answer, &dns.TXT{Hdr: header, Txt: []string{"v=DMARC1; p=none"}})
	case q.Qtype == dns.TypeTXT && strings.HasPrefix(name, "pds."):
		m.Answer = append(m.Answer, &dns.TXT{Hdr: header, Txt: []string{"v=spf1 a:" + mailHost + " -all"}})
	case q.Qtype == dns.TypeSOA && name == zones[zone], q.Qtype == dns.TypeNS && name == zones[zone]:
		m.Answer = append(m.Answer, &dns.SOA{Hdr: header, Ns: "ns." + q.Name, Mbox: "hostmaster." + q.Name, Serial: 1, Refresh: 3600, Retry: 600, Expire: 86400, Minttl: 60})
	}
}

// packages fetches Debian's packages for the machine, which has no other way to them.
func (w *world) packages() error {
	proxy := &httputil.ReverseProxy{Rewrite: func(*httputil.ProxyRequest) {}, ErrorLog: log.New(io.Discard, "", 0)} // the request has the whole URL
	return w.serve(outside+packagesPort, proxy, nil)
}

// directory keeps the DIDs, as that of the development mode.
func (w *world) directory(ctx context.Context) (http.Handler, error) {
	quiet := slog.New(slog.DiscardHandler)
	s, err := embedded.Start(ctx, filepath.Join(w.dir, "directory"), quiet, embedded.Setting("fsync", "off"))
	if err != nil {
		return nil, err
	}
	w.closing = append(w.closing, func() { _ = s.Stop() })
	d, err := db.Open(ctx, db.Config{URL: s.URL})
	if err != nil {
		return nil, err
	}
	w.closing = append(w.closing, d.Close)
	if err := d.MigrateControl(ctx); err != nil {
		return nil, err
	}
	return plcdir.New(d, time.Now, false).Handler("trial", quiet), nil
}

// pebble starts the certificate authority. It finds names as everybody does, and proves them at ports 80 and 443.
func (w *world) pebble(ctx context.Context) (addr string, root []byte, err error) {
	out, err := exec.CommandContext(ctx, "go", "tool", "-modfile=tools/go.mod", "-n", "pebble").CombinedOutput()
	if err != nil {
		return "", nil, fmt.Errorf("build pebble: %w: %s", err, out)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	const at, manage = "127.0.0.1:14000", "127.0.0.1:15000"
	cert, key := filepath.Join(w.dir, "pebble.pem"), filepath.Join(w.dir, "pebble.key")
	if err := w.ca.Write(cert, key, "127.0.0.1"); err != nil {
		return "", nil, err
	}
	config, err := json.Marshal(map[string]any{"pebble": map[string]any{
		"listenAddress": at, "managementListenAddress": manage, "certificate": cert, "privateKey": key, "httpPort": 80, "tlsPort": 443,
		"keyAlgorithm": "ecdsa", "retryAfter": map[string]int{"authz": 1, "order": 1},
	}})
	if err != nil {
		return "", nil, err
	}
	file := filepath.Join(w.dir, "pebble.json")
	said, err := os.Create(filepath.Join(w.dir, "pebble.log"))
	if err := errors.Join(err, os.WriteFile(file, config, 0o600)); err != nil {
		return "", nil, err
	}
	defer said.Close() // the program has it
	cmd := exec.Command(lines[len(lines)-1], "-config", file, "-dnsserver", outside+":53")
	cmd.Env = append(os.Environ(), "PEBBLE_VA_NOSLEEP=1")
	cmd.Stdout, cmd.Stderr = said, said
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	w.closing = append(w.closing, func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	c := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: w.ca.Pool}}}
	defer c.CloseIdleConnections()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if root, err = get(ctx, c, "https://"+manage+"/roots/0"); err == nil {
			return "https://" + at, root, nil
		}
	}
	return "", nil, fmt.Errorf("pebble does not come up: %w", err)
}

// through hands calls on as they are: the host is part of what is signed.
func (w *world) through(target string) http.Handler {
	u, err := url.Parse(target)
	if err != nil {
		panic(err) // it was made here
	}
	return &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(u); r.Out.Host = r.In.Host },
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: w.ca.Pool, ServerName: "127.0.0.1"}},
	}
}

// front answers https for the hosts.
func (w *world) front(hosts map[string]http.Handler) error {
	cert, err := w.ca.Certificate(directoryHost, authorityHost, bucketHost)
	if err != nil {
		return err
	}
	return w.serve(outside+":443", http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if h := hosts[r.Host]; h != nil {
			h.ServeHTTP(rw, r)
			return
		}
		http.Error(rw, "no such host", http.StatusMisdirectedRequest)
	}), &tls.Config{Certificates: []tls.Certificate{*cert}})
}

func (w *world) serve(addr string, h http.Handler, config *tls.Config) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	if config != nil {
		l = tls.NewListener(l, config)
	}
	s := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0)}
	go func() { _ = s.Serve(l) }() // until it is closed
	w.closing = append(w.closing, func() { _ = s.Close() })
	return nil
}

// get reads a page that must be there.
func get(ctx context.Context, c *http.Client, url string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	res, err := c.Do(r)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 16<<20))
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: status %d: %.300s", url, res.StatusCode, text)
	}
	return text, err
}
