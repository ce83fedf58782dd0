package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/auroralocus/locus/internal/certs/certstest"
)

// authority is Pebble, the small authority of Let's Encrypt for tests, on loopback.
type authority struct {
	cmd    *exec.Cmd
	url    string
	root   string // file by which its own https is trusted
	roots  *x509.CertPool
	issuer []byte // of the certificates that it makes
	said   *lockedBuffer
}

// newAuthority starts it. Names are proved at these ports of loopback; dnsAt says where names are. bound, if not empty, is
// ID=KEY, and all accounts must be bound by it.
func newAuthority(t *testing.T, httpPort, tlsPort, dnsAt, bound string) *authority {
	t.Helper()
	out, err := exec.Command("go", "tool", "-modfile="+filepath.Join("..", "..", "tools", "go.mod"), "-n", "pebble").CombinedOutput()
	if err != nil {
		t.Fatalf("build pebble: %v: %s", err, out)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	a := &authority{said: new(lockedBuffer)}
	dir, at, manage := t.TempDir(), "127.0.0.1:"+freePort(t), "127.0.0.1:"+freePort(t)
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	certified(t, cert, key, "127.0.0.1")
	says := map[string]any{
		"listenAddress": at, "managementListenAddress": manage, "certificate": cert, "privateKey": key,
		"httpPort": portNumber(t, httpPort), "tlsPort": portNumber(t, tlsPort), "keyAlgorithm": "ecdsa",
		"retryAfter": map[string]int{"authz": 1, "order": 1},
	}
	if id, key, ok := strings.Cut(bound, "="); ok {
		says["externalAccountBindingRequired"], says["externalAccountMACKeys"] = true, map[string]string{id: key}
	}
	config, err := json.Marshal(map[string]any{"pebble": says})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "pebble.json")
	if err := os.WriteFile(file, config, 0o600); err != nil {
		t.Fatal(err)
	}
	a.cmd = exec.Command(lines[len(lines)-1], "-config", file, "-dnsserver", dnsAt)
	a.cmd.Env = append(os.Environ(), "PEBBLE_VA_NOSLEEP=1", "PEBBLE_WFE_NONCEREJECT=0")
	a.cmd.Stdout, a.cmd.Stderr = a.said, a.said
	if err := a.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.stop)
	text, err := os.ReadFile(cert)
	if err != nil {
		t.Fatal(err)
	}
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(text)
	c := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted}}}
	defer c.CloseIdleConnections()
	root := comes(t, "pebble", func() ([]byte, bool) {
		r, err := c.Get("https://" + manage + "/roots/0")
		if err != nil {
			return nil, false
		}
		defer r.Body.Close()
		text, err := io.ReadAll(r.Body)
		return text, err == nil && r.StatusCode == 200
	})
	a.url, a.root, a.roots, a.issuer = "https://"+at+"/dir", cert, x509.NewCertPool(), root
	a.roots.AppendCertsFromPEM(root)
	return a
}

func (a *authority) stop() {
	_ = a.cmd.Process.Kill()
	_ = a.cmd.Wait()
}

func portNumber(t *testing.T, port string) (n int) {
	t.Helper()
	if err := json.Unmarshal([]byte(port), &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// eventually waits for a condition.
func comes[T any](t *testing.T, what string, look func() (T, bool)) T {
	t.Helper()
	for began := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		if v, ok := look(); ok {
			return v
		}
		if time.Since(began) > 2*time.Minute {
			t.Fatalf("%s does not come", what)
		}
	}
}

// certified writes a certificate for names and addresses, and its key. The file is also one of whom to trust.
func certified(t *testing.T, certFile, keyFile string, names ...string) {
	t.Helper()
	a, err := certstest.New()
	must(t, err)
	must(t, a.Write(certFile, keyFile, names...))
}

// The key by which the name server lets itself be changed.
const (
	zoneKeyName = "locus-key."
	zoneKey     = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3I="
)

// nameServer is the primary of a zone that takes updates (RFC 2136), and says of every name that it is on loopback.
type nameServer struct {
	zone string

	mu      sync.Mutex
	texts   map[string][]string
	changed int
}

func newNameServer(t *testing.T, zone string) (s *nameServer, at string) {
	t.Helper()
	s = &nameServer{zone: dns.Fqdn(zone), texts: map[string][]string{}}
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at = tcp.Addr().String()
	udp, err := net.ListenPacket("udp", at)
	if err != nil {
		t.Fatal(err)
	}
	for _, server := range []*dns.Server{{Listener: tcp}, {PacketConn: udp}} {
		server.Handler, server.TsigSecret = s, map[string]string{zoneKeyName: zoneKey}
		server.MsgAcceptFunc = func(dns.Header) dns.MsgAcceptAction { return dns.MsgAccept }
		up := make(chan struct{})
		server.NotifyStartedFunc = func() { close(up) }
		go func() { _ = server.ActivateAndServe() }()
		<-up
		t.Cleanup(func() { _ = server.Shutdown() })
	}
	return s, at
}

// ServeDNS implements dns.Handler.
func (s *nameServer) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := new(dns.Msg)
	m.SetReply(q)
	m.Authoritative = true
	name := strings.ToLower(q.Question[0].Name)
	if q.Opcode == dns.OpcodeUpdate {
		s.update(w, q, m)
		if key := q.IsTsig(); key != nil {
			m.SetTsig(key.Hdr.Name, key.Algorithm, 300, time.Now().Unix())
		}
		_ = w.WriteMsg(m)
		return
	}
	head := dns.RR_Header{Name: q.Question[0].Name, Rrtype: q.Question[0].Qtype, Class: dns.ClassINET, Ttl: 1}
	switch q.Question[0].Qtype {
	case dns.TypeA:
		m.Answer = append(m.Answer, &dns.A{Hdr: head, A: net.IPv4(127, 0, 0, 1)})
	case dns.TypeTXT:
		for _, text := range s.texts[name] {
			m.Answer = append(m.Answer, &dns.TXT{Hdr: head, Txt: []string{text}})
		}
	case dns.TypeSOA:
		if name == s.zone {
			m.Answer = append(m.Answer, &dns.SOA{Hdr: head, Ns: "ns." + s.zone, Mbox: "mail." + s.zone, Serial: 1, Refresh: 1, Retry: 1, Expire: 1, Minttl: 1})
		}
	case dns.TypeNS:
		if name == s.zone {
			m.Answer = append(m.Answer, &dns.NS{Hdr: head, Ns: "ns." + s.zone})
		}
	}
	_ = w.WriteMsg(m)
}

func (s *nameServer) update(w dns.ResponseWriter, q, m *dns.Msg) {
	if q.IsTsig() == nil || w.TsigStatus() != nil || q.Question[0].Name != s.zone {
		m.Rcode = dns.RcodeRefused
		return
	}
	for _, rr := range q.Ns {
		text, ok := rr.(*dns.TXT)
		if !ok {
			m.Rcode = dns.RcodeNotImplemented
			return
		}
		name := strings.ToLower(text.Hdr.Name)
		if text.Hdr.Class == dns.ClassINET {
			s.texts[name] = append(s.texts[name], text.Txt...)
			s.changed++
			continue
		}
		var left []string
		for _, one := range s.texts[name] {
			if one != text.Txt[0] {
				left = append(left, one)
			}
		}
		s.texts[name] = left
	}
}

// left is how many texts nobody took away again.
func (s *nameServer) left() (changed, left int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, all := range s.texts {
		left += len(all)
	}
	return s.changed, left
}
