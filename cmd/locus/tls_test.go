package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/internal/identity/plcdir"
)

// tlsHouse is two servers on one database that serve https by themselves, an authority, and a name server.
type tlsHouse struct {
	*testing.T
	authority *authority
	names     *nameServer
	dns       string
	url, dir  string
	env       []string
	https     [2]string // addresses
	http      [2]string
	face      [2]string // of numbers
	nodes     [2]*served
	ok        func(args ...string) string
	refused   func(want string, args ...string)
}

const (
	firstHost, secondHost = "pds.example.com", "beta.example.org"
	zoneHost, zoneUser    = "tenant.example.net", "alice.tenant.example.net"
)

func newTLSHouse(t *testing.T) *tlsHouse {
	t.Helper()
	h := &tlsHouse{T: t, url: dbtest.EmptyURL(t), dir: filepath.Join(t.TempDir(), "data")}
	var at string
	h.names, at = newNameServer(t, "example.net")
	for i := range h.https {
		h.https[i], h.http[i], h.face[i] = "127.0.0.1:"+freePort(t), "127.0.0.1:"+freePort(t), "127.0.0.1:"+freePort(t)
	}
	// A name is always proved at the other server than the one that orders: the first proves by TLS-ALPN-01, at the second.
	h.dns = at
	h.authority = newAuthority(t, port(h.http[0]), port(h.https[1]), at, "")
	plc := newPLC(t)
	h.env = []string{
		"LOCUS_PLC_URL=" + plc, "LOCUS_ACME_EMAIL=tls@example.com", "LOCUS_ACME_CA=" + h.authority.url, "LOCUS_ACME_CA_ROOT=" + h.authority.root,
		"LOCUS_ACME_DNS=rfc2136", "LOCUS_ACME_DNS_ZONES=example.net", "LOCUS_ACME_DNS_SERVER=" + at, "LOCUS_ACME_DNS_RESOLVER=" + at,
		"LOCUS_ACME_DNS_KEY_NAME=" + strings.TrimSuffix(zoneKeyName, "."), "LOCUS_ACME_DNS_KEY=" + zoneKey,
	}
	h.ok, h.refused = on(t, h.url, h.dir, "LOCUS_PLC_URL="+plc)
	for _, host := range []string{firstHost, secondHost, zoneHost} {
		h.ok("tenant", "create", host, "crawlers=")
	}
	h.ok("account", "create", zoneHost, zoneUser, "--email", "alice@example.net", "--password", "hunter2-hunter2")
	h.start(0, "tls-alpn-01")
	h.start(1, "http-01")
	return h
}

// newPLC is a directory for servers that are no development servers.
func newPLC(t *testing.T) string {
	t.Helper()
	plc := httptest.NewServer(plcdir.New(dbtest.New(t), time.Now, false).Handler("test", slog.New(slog.DiscardHandler)))
	t.Cleanup(plc.Close)
	return plc.URL
}

func (h *tlsHouse) start(i int, challenges string) {
	h.Helper()
	h.nodes[i] = serveFor(h.T, h.url, h.dir, append(slices.Clone(h.env), "LOCUS_ACME_CHALLENGES="+challenges), "--https-listen", h.https[i], "--http-listen", h.http[i], "--admin-listen", h.face[i])
}

// counts waits for a number of a node.
func (h *tlsHouse) counts(t *testing.T, node int, name string, good func(float64) bool) {
	t.Helper()
	find := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + ` (\S+)$`)
	comes(t, name, func() (float64, bool) {
		_, body := ask(t, "http://"+h.face[node]+"/metrics")
		found := find.FindStringSubmatch(body)
		if found == nil {
			t.Fatalf("there is no %s", name)
		}
		n, err := strconv.ParseFloat(found[1], 64)
		return n, err == nil && good(n)
	})
}

func ask(t *testing.T, url string) (int, string) {
	t.Helper()
	r, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(body)
}

func port(at string) string { return at[strings.LastIndexByte(at, ':')+1:] }

// client speaks to a node whatever the name.
func (h *tlsHouse) client(node int) *http.Client {
	tr := &http.Transport{
		ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: h.authority.roots},
		DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
			to := h.https[node]
			if port(addr) == "80" {
				to = h.http[node]
			}
			return new(net.Dialer).DialContext(ctx, "tcp", to)
		},
	}
	h.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// serial is the certificate that a node shows for a name; "" where it shows none.
func (h *tlsHouse) serial(node int, name string) string {
	c, err := tls.Dial("tcp", h.https[node], &tls.Config{ServerName: name, RootCAs: h.authority.roots})
	if err != nil {
		return ""
	}
	defer c.Close()
	return fmt.Sprintf("%x", c.ConnectionState().PeerCertificates[0].SerialNumber)
}

// gets waits for a certificate as a visitor does.
func (h *tlsHouse) gets(node int, name string) string {
	h.Helper()
	return comes(h.T, "a certificate for "+name, func() (string, bool) { s := h.serial(node, name); return s, s != "" })
}

func (h *tlsHouse) shown(name string) (c certJSON) {
	h.Helper()
	if err := json.Unmarshal([]byte(h.ok("tls", "show", name, "--json")), &c); err != nil {
		h.Fatal(err)
	}
	return c
}

// TestCertificates has certificates made by a real authority, over two servers.
func TestCertificates(t *testing.T) {
	t.Parallel()
	h := newTLSHouse(t)
	h.gets(0, firstHost)  // TLS-ALPN-01
	h.gets(1, secondHost) // HTTP-01
	h.gets(0, zoneUser)   // DNS-01
	for _, name := range []string{firstHost, secondHost} {
		if c := h.shown(name); c.State != "valid" || c.Name != name || c.Tenant != name || c.Error != "" {
			t.Errorf("%+v", c)
		}
		if a, b := h.gets(0, name), h.gets(1, name); a != b {
			t.Errorf("%s: one server shows %s, the other %s", name, a, b)
		}
	}
	if c := h.shown(zoneUser); c.Name != "*."+zoneHost || c.Tenant != zoneHost {
		t.Errorf("%+v", c)
	}
	if changed, left := h.names.left(); changed == 0 || left != 0 {
		t.Errorf("the zone was changed %d times, and %d texts are left", changed, left)
	}
	h.counts(t, 0, `locus_certificate_expires_timestamp_seconds`, func(at float64) bool { return at > float64(time.Now().Unix()) })
	t.Run("strangers", h.strangers)
	t.Run("serves", h.serves)
	t.Run("plain", h.plain)
	t.Run("renews", h.renews)
	t.Run("authority away", h.away)
	t.Run("another authority", h.another)
}

// strangers ask for names that nobody has.
func (h *tlsHouse) strangers(t *testing.T) {
	before := h.ok("tls", "list")
	for _, name := range []string{"nobody." + firstHost, "nobody.example.edu", "a.b." + zoneHost, "10.0.0.1.example.edu", "x"} {
		if s := h.serial(0, name); s != "" {
			t.Errorf("%s is served by %s", name, s)
		}
		h.refused("no tenant answers", "tls", "renew", name)
	}
	if _, err := tls.Dial("tcp", h.https[0], &tls.Config{InsecureSkipVerify: true}); err == nil {
		t.Error("a handshake without a name succeeds")
	}
	if after := h.ok("tls", "list"); after != before {
		t.Errorf("strangers have certificates wanted:\n%s", after)
	}
	if _, err := tls.Dial("tcp", h.https[0], &tls.Config{ServerName: firstHost, RootCAs: h.authority.roots, MaxVersion: tls.VersionTLS11}); err == nil {
		t.Error("TLS 1.1 is spoken")
	}
	if s := h.serial(1, "whoever."+zoneHost); s == "" {
		t.Error("the wildcard does not serve a name of its domain")
	}
}

// serves: HTTP/2, and a stream.
func (h *tlsHouse) serves(t *testing.T) {
	c := h.client(1)
	r, err := c.Get("https://" + firstHost + "/xrpc/com.atproto.server.describeServer")
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Body.Close()
	if r.StatusCode != 200 || r.ProtoMajor != 2 {
		t.Errorf("%s by %s", r.Status, r.Proto)
	}
	one := h.client(0)
	one.Transport.(*http.Transport).ForceAttemptHTTP2 = false
	one.Transport.(*http.Transport).TLSClientConfig.NextProtos = []string{"http/1.1"}
	s, _, err := websocket.Dial(t.Context(), "wss://"+zoneHost+"/xrpc/com.atproto.sync.subscribeRepos?cursor=0", &websocket.DialOptions{HTTPClient: one})
	if err != nil {
		t.Fatal(err)
	}
	defer s.CloseNow()
	if _, frame, err := s.Read(t.Context()); err != nil || !strings.Contains(string(frame), "did:plc:") {
		t.Errorf("%q, %v", frame, err)
	}
}

// plain is what is served by http beside it.
func (h *tlsHouse) plain(t *testing.T) {
	c := h.client(0)
	ask := func(verb, url string) (*http.Response, string) {
		r, err := http.NewRequest(verb, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := c.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp, string(text)
	}
	if r, _ := ask("GET", "http://"+firstHost+"/account?x=1"); r.StatusCode != 308 || r.Header.Get("Location") != "https://"+firstHost+"/account?x=1" {
		t.Errorf("%s to %s", r.Status, r.Header.Get("Location"))
	}
	if r, text := ask("POST", "http://"+firstHost+"/xrpc/com.atproto.server.createSession"); r.StatusCode != 403 {
		t.Errorf("%s: %s", r.Status, text)
	}
	if r, text := ask("GET", "http://"+zoneUser+"/.well-known/atproto-did"); r.StatusCode != 200 || !strings.HasPrefix(text, "did:plc:") {
		t.Errorf("%s: %s", r.Status, text)
	}
	if r, text := ask("GET", "http://"+firstHost+"/.well-known/acme-challenge/nothing"); r.StatusCode != 404 {
		t.Errorf("%s: %s", r.Status, text)
	}
	if r, _ := ask("GET", "http://nobody.example.edu/"); r.StatusCode != 404 {
		t.Error(r.Status)
	}
}

// renews: an operator has a certificate made anew, and both servers show it.
func (h *tlsHouse) renews(t *testing.T) {
	before := h.gets(0, firstHost)
	var c certJSON
	if err := json.Unmarshal([]byte(h.ok("tls", "renew", firstHost, "--json")), &c); err != nil || c.Serial == before {
		t.Fatalf("%v, %+v", err, c)
	}
	for node := range h.nodes {
		comes(t, "the new certificate", func() (string, bool) { s := h.serial(node, firstHost); return s, s == c.Serial })
	}
	if text := h.ok("tenant", "show", firstHost); !strings.Contains(text, "valid, until ") {
		t.Error(text)
	}
	h.ok("tls", "remove", secondHost)
	if c := h.shown(secondHost); c.State != "removed" {
		t.Errorf("%+v", c)
	}
	comes(t, "the visitor's new certificate", func() (string, bool) {
		s := h.serial(0, secondHost)
		return s, s != "" && h.shown(secondHost).State == "valid"
	})
}

// away: what is there is served while the authority is not, after a restart too, and what is missing says why.
func (h *tlsHouse) away(t *testing.T) {
	h.authority.stop()
	h.nodes[0].stop()
	h.start(0, "tls-alpn-01")
	if s := h.serial(0, firstHost); s == "" {
		t.Error("a certificate that is there is not served")
	}
	h.ok("tenant", "create", "late.example.com", "crawlers=")
	c := comes(t, "the reason", func() (certJSON, bool) {
		if s := h.serial(0, "late.example.com"); s != "" {
			t.Fatal("a certificate without an authority")
		}
		out, _, err := runWith(t, []string{"LOCUS_DATABASE_URL=" + h.url}, "tls", "show", "late.example.com", "--json", "--data-dir", h.dir)
		var c certJSON
		return c, err == nil && json.Unmarshal([]byte(out), &c) == nil && c.Error != ""
	})
	if c.State != "waiting" || c.Attempts != 0 {
		t.Errorf("%+v", c)
	}
	h.counts(t, 0, `locus_certificates{state="present"}`, func(n float64) bool { return n >= 3 })
	h.counts(t, 0, `locus_certificates{state="waiting"}`, func(n float64) bool { return n == 1 })
	lines := 0
	for _, n := range h.nodes {
		lines += strings.Count(n.log.String(), "does not serve us")
	}
	if lines == 0 || lines > len(h.nodes) {
		t.Errorf("the outage is told %d times", lines)
	}
}

// another authority wants its accounts bound to one that it has already (EAB). What waits is had there.
func (h *tlsHouse) another(t *testing.T) {
	const id, key = "bound-1", "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"
	h.nodes[0].stop()
	h.nodes[1].stop()
	next := newAuthority(t, port(h.http[0]), port(h.https[0]), h.dns, id+"="+key)
	h.authority.roots = next.roots
	h.env = append(h.env, "LOCUS_ACME_CA="+next.url, "LOCUS_ACME_CA_ROOT="+next.root, "LOCUS_ACME_EAB_KEY_ID="+id, "LOCUS_ACME_EAB_KEY="+key)
	h.start(0, "tls-alpn-01")
	h.ok("tls", "renew", "late.example.com", "--background")
	h.gets(0, "late.example.com")
	h.counts(t, 0, `locus_certificate_orders_total{outcome="issued"}`, func(n float64) bool { return n == 1 })
	h.counts(t, 0, `locus_certificates{state="waiting"}`, func(n float64) bool { return n == 0 })
}

// TestCertificateFiles: certificates from files are served, read again when they change, and a broken file leaves the old.
func TestCertificateFiles(t *testing.T) {
	t.Parallel()
	url, dir := dbtest.EmptyURL(t), filepath.Join(t.TempDir(), "data")
	ok, refused := on(t, url, dir)
	cert, key := filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	certified(t, cert, key, firstHost)
	refused("go with --https-listen", "serve", "--tls-cert", cert, "--tls-key", key)
	refused("needs certificates", "serve", "--https-listen", "127.0.0.1:0")
	refused("has its --tls-key", "serve", "--https-listen", "127.0.0.1:0", "--tls-cert", cert)
	refused("leave out --https-listen", "serve", "--dev", "--https-listen", "127.0.0.1:0", "--tls-cert", cert, "--tls-key", key)
	ok("tenant", "create", firstHost)
	at := "127.0.0.1:" + freePort(t)
	serveFor(t, url, dir, nil, "--https-listen", at, "--tls-cert", cert, "--tls-key", key)
	serial := func(name string) string {
		c, err := tls.Dial("tcp", at, &tls.Config{ServerName: name, InsecureSkipVerify: true})
		if err != nil {
			return err.Error()
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].SerialNumber.String()
	}
	inFile := func() string {
		c, err := tls.LoadX509KeyPair(cert, key)
		must(t, err)
		return c.Leaf.SerialNumber.String()
	}
	first := inFile()
	if got := serial(firstHost); got != first {
		t.Error(got)
	}
	if got := serial(secondHost); !strings.Contains(got, "tls:") {
		t.Error("another name is served by", got)
	}
	if err := os.WriteFile(key, []byte("no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := serial(firstHost); got != first {
		t.Error(got)
	}
	certified(t, cert, key, firstHost)
	second := inFile()
	comes(t, "the new certificate", func() (string, bool) { s := serial(firstHost); return s, s == second })

	ok("deployment", "set", "scheme=http", "port=8080")
	refused("serves https, the database says", "serve", "--listen", "127.0.0.1:0", "--https-listen", "127.0.0.1:0", "--tls-cert", cert, "--tls-key", key)
}
