package main

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/auroralocus/locus/db/dbtest"
	"github.com/miekg/dns"
)

// TestCertificatesByLexicon has a wildcard certificate made with the program lexicon and one of the providers that it
// speaks to, PowerDNS. LOCUS_TEST_LEXICON says that both are installed: CI does that.
func TestCertificatesByLexicon(t *testing.T) {
	if os.Getenv("LOCUS_TEST_LEXICON") == "" {
		return
	}
	const secret = "powerdns-key-5309"
	at, api := powerDNS(t, "example.net", secret)
	plc := newPLC(t)
	authority := newAuthority(t, freePort(t), freePort(t), at, "")
	url, dir := dbtest.EmptyURL(t), filepath.Join(t.TempDir(), "data")
	https := "127.0.0.1:" + freePort(t)
	env := []string{
		"HOME=" + t.TempDir(), "LOCUS_PLC_URL=" + plc, "LOCUS_ACME_EMAIL=tls@example.com", "LOCUS_ACME_CA=" + authority.url, "LOCUS_ACME_CA_ROOT=" + authority.root,
		"LOCUS_ACME_DNS=lexicon", "LOCUS_ACME_DNS_PROVIDER=powerdns", "LOCUS_ACME_DNS_ZONES=example.net", "LOCUS_ACME_DNS_RESOLVER=" + at,
		"LEXICON_POWERDNS_PDNS_SERVER=" + api,
	}
	facts := []string{"LOCUS_PLC_URL=" + plc, "LOCUS_ACME_DNS=lexicon", "LOCUS_ACME_DNS_ZONES=example.net"}
	ok, refused := on(t, url, dir, facts...)
	ok("tenant", "create", zoneHost, "crawlers=")
	serve := []string{"serve", "--listen", "127.0.0.1:0", "--https-listen", https, "--acme-email", "tls@example.com", "--acme-dns-provider"}
	refused("lexicon knows no provider", append(serve, "nosuch")...)
	_, refused = on(t, url, dir, append(facts, "PATH="+dir)...)
	refused("apt install lexicon", append(serve, "powerdns")...)
	h := &tlsHouse{T: t, url: url, dir: dir, env: append(env, "LEXICON_POWERDNS_AUTH_TOKEN=wrong-"+secret), authority: authority, ok: ok}
	h.https[0], h.http[0], h.face[0] = https, "127.0.0.1:"+freePort(t), "127.0.0.1:"+freePort(t)
	h.start(0, "tls-alpn-01")
	h.serial(0, zoneHost) // which asks for one
	why := comes(t, "the provider's refusal", func() (string, bool) {
		text := h.ok("tls", "show", "*.example.net")
		return text, strings.Contains(text, "401")
	})
	if strings.Contains(why+h.nodes[0].log.String(), secret) {
		t.Errorf("the provider's secret is told: %s", why)
	}
	h.nodes[0].stop()
	h.env[len(h.env)-1] = "LEXICON_POWERDNS_AUTH_TOKEN=" + secret
	h.start(0, "tls-alpn-01")
	h.ok("tls", "renew", zoneHost)
	h.gets(0, zoneHost)
	q := new(dns.Msg)
	q.SetQuestion("_acme-challenge.example.net.", dns.TypeTXT)
	if got, err := dns.Exchange(q, at); err != nil || len(got.Answer) != 0 {
		t.Errorf("left in the zone: %v, %v", got, err)
	}
}

// powerDNS serves a zone, and changes it for whom has the key.
func powerDNS(t *testing.T, zone, key string) (at, api string) {
	t.Helper()
	dir, port, web := t.TempDir(), freePort(t), freePort(t)
	program := filepath.Join("/usr/sbin", "pdns_server")
	args := []string{
		"--config-dir=" + dir, "--socket-dir=" + dir, "--guardian=no", "--daemon=no", "--launch=lmdb", "--lmdb-filename=" + filepath.Join(dir, "zones"),
		"--local-address=127.0.0.1", "--local-port=" + port, "--api=yes", "--api-key=" + key, "--webserver=yes", "--webserver-address=127.0.0.1",
		"--webserver-port=" + web, "--cache-ttl=0", "--query-cache-ttl=0", "--negquery-cache-ttl=0", "--zone-cache-refresh-interval=0",
	}
	cmd, said := exec.Command(program, args...), new(lockedBuffer)
	cmd.Stdout, cmd.Stderr = said, said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(said.String())
		}
	})
	at, api = "127.0.0.1:"+port, "http://127.0.0.1:"+web
	body := fmt.Sprintf(`{"name": "%s.", "kind": "Native", "nameservers": ["ns.%[1]s."]}`, zone)
	comes(t, "PowerDNS", func() (int, bool) {
		r, err := http.NewRequest("POST", api+"/api/v1/servers/localhost/zones", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-API-Key", key)
		got, err := http.DefaultClient.Do(r)
		if err != nil {
			return 0, false
		}
		_ = got.Body.Close()
		return got.StatusCode, got.StatusCode == 201
	})
	return at, api
}
