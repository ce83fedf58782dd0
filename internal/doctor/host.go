package doctor

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/auroralocus/locus/internal/identity"
	"github.com/auroralocus/locus/internal/outbound"
)

// Host is a tenant as the network should see it.
type Host struct {
	Hostname      string
	PublicURL     string
	ServiceDID    string
	HandleDomains []string
	Crawlers      []string
	HasStream     bool
	Development   bool                                     // its names are not public: no name server knows them
	LastSeq       func(ctx context.Context) (int64, error) // of its event stream
	// EventsAfter counts the events behind a number, up to most.
	EventsAfter func(ctx context.Context, seq int64, most int) (int64, error)
	// Refused is how often in a row a relay did not take the request to come, the last times that it was asked.
	Refused func(ctx context.Context, relay string) (int, error)
	AppView string                 // its URL; "": none
	Probe   func() (string, error) // makes a proof of who asks, for the server; nil: it is not asked
	Mail    *Post                  // its own mail server or sender; nil: the deployment's
	Stores  []Store                // its own places for files
	// SecretsSince is when the secrets were made that its tokens are signed with; nil: they are not looked at.
	SecretsSince func(ctx context.Context) (time.Time, error)
	// Sample gives a few of its accounts, active ones that have written; nil: they are not looked at.
	Sample func(ctx context.Context) ([]Account, error)
}

// Outside is the way out.
type Outside struct {
	HTTP *http.Client  // made by package outbound
	DNS  *net.Resolver // nil is the system's
	Now  func() time.Time
}

const (
	maxAnswer = 256 << 10
	// expirySoon leaves time to repair what should have renewed the certificate.
	expirySoon = 14 * 24 * time.Hour
	// secretsFor is how long a tenant should sign tokens with the same secrets: as long as NIST SP 800-57 gives a symmetric
	// key that authenticates.
	secretsFor = 2 * 365 * 24 * time.Hour
	// relayLag is how many events a relay may be behind: it notes its place now and then only.
	relayLag = 1000
)

// HostChecks are the checks of one tenant.
func HostChecks(h Host, o Outside) []Check {
	if o.DNS == nil {
		o.DNS = net.DefaultResolver
	}
	v := visitor{h, o}
	checks := []Check{
		{h.Hostname, "dns", "addresses of the hostname and of names under its handle domains", v.names},
		{h.Hostname, "tls", "the certificate at the public URL", v.certificate},
		{h.Hostname, "health", "/xrpc/_health from outside", v.health},
		{h.Hostname, "describe", "describeServer from outside", v.describe},
		{h.Hostname, "service-did", "the document of the service's DID", v.document},
		{h.Hostname, "oauth", "/.well-known/oauth-protected-resource", v.oauth},
	}
	if h.Probe != nil && !h.Development {
		checks = append(checks, Check{h.Hostname, "address", "which address the server takes for a caller's", v.address})
	}
	if h.Mail != nil {
		checks = append(checks, h.Mail.checks(h.Hostname, o.DNS)...)
	}
	for _, s := range h.Stores {
		checks = append(checks, Check{h.Hostname, "files", "write, read and delete a small file in " + s.Name, s.look})
	}
	if h.SecretsSince != nil {
		checks = append(checks, Check{h.Hostname, "token-secrets", "how old the secrets are that tokens are signed with", v.secrets})
	}
	if h.Sample != nil {
		checks = append(checks, Check{h.Hostname, "handles", "/.well-known/atproto-did of an account's handle from outside", v.handles})
	}
	if !h.HasStream {
		return checks
	}
	checks = append(checks, Check{h.Hostname, "websocket", "the event stream through the public URL", v.websocket})
	for _, crawler := range h.Crawlers {
		checks = append(checks, Check{h.Hostname, "relay", "what " + crawler + " knows of this host", func(ctx context.Context) []Finding { return v.relay(ctx, crawler) }})
	}
	return checks
}

type visitor struct {
	Host
	Outside
}

// NotServed is the check of a tenant that cannot be looked at from outside.
func NotServed(hostname string, why error) Check {
	return Check{hostname, "state", "whether the tenant is served", func(context.Context) []Finding {
		return one(Warning, "not-served", "the tenant is not served, so nothing more was looked at", why.Error(), "'locus tenant show "+hostname+"' says why")
	}}
}

func (v visitor) names(ctx context.Context) (found []Finding) {
	if v.Development {
		return notLooked("the names of a development deployment need no records")
	}
	if _, err := v.DNS.LookupHost(ctx, v.Hostname); err != nil {
		found = append(found, Finding{Error, "dns-hostname", "the hostname has no address", err.Error(), "make an A or AAAA record for " + v.Hostname + " that leads to this server"})
	}
	for _, domain := range v.HandleDomains {
		// Any name will do: the wildcard answers for accounts that do not exist yet.
		if _, err := v.DNS.LookupHost(ctx, "doctor-probe."+domain); err != nil {
			found = append(found, Finding{Error, "dns-handles", "handles under " + domain + " have no address", err.Error(), "make an A or AAAA record for *." + domain + " that leads to this server"})
		}
		// A wildcard for TXT records gives each handle the same DID, and DNS goes before https.
		if records, err := texts(ctx, v.DNS, "_atproto.doctor-probe."+domain, "did="); err == nil && len(records) > 0 {
			found = append(found, Finding{Error, "dns-txt", "all handles under " + domain + " lead to one DID", "_atproto.doctor-probe." + domain + " has the TXT record " + records[0], "delete the TXT record of *." + domain})
		}
	}
	return found
}

func (v visitor) secrets(ctx context.Context) []Finding {
	since, err := v.SecretsSince(ctx)
	if err != nil {
		return one(Error, "token-secrets", "the age of the token secrets cannot be read", err.Error(), "look at the database")
	}
	if age := v.Now().Sub(since); age > secretsFor {
		return one(Warning, "token-secrets-old", "tokens are signed with old secrets", fmt.Sprintf("made %s, %d days ago", since.UTC().Format(time.DateOnly), int(age.Hours()/24)), "'locus tenant rotate-secrets "+v.Hostname+"' replaces them, and nobody is signed out")
	}
	return nil
}

// get asks the tenant's own URL. A certificate that does not hold is told by its own check alone.
func (v visitor) get(ctx context.Context, path, name string) ([]byte, []Finding) {
	body, status, err := outbound.Fetch(ctx, v.HTTP, v.PublicURL+path, "application/json", maxAnswer)
	var untrusted *certError
	switch {
	case err == nil:
		return body, nil
	case asCertError(err, &untrusted):
		return nil, notLooked("the certificate does not hold")
	case status != 0:
		return nil, one(Error, name, path+" is not served at the public URL", fmt.Sprintf("%s%s answers with status %d", v.PublicURL, path, status), "see that the proxy in front hands every path on, with the Host header as it came")
	}
	return nil, one(Error, name, "the public URL does not answer", err.Error(), "see that the server runs, and that firewall, proxy and DNS lead to it")
}

func (v visitor) certificate(ctx context.Context) []Finding {
	if !strings.HasPrefix(v.PublicURL, "https:") {
		return notLooked("%s has no certificate", v.PublicURL)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, v.PublicURL+"/xrpc/_health", nil)
	if err != nil {
		return one(Error, "tls", "the public URL cannot be read", err.Error(), "repair it by 'locus deployment set'")
	}
	res, err := v.HTTP.Do(req)
	if err != nil {
		var bad *certError
		if !asCertError(err, &bad) {
			return notLooked("the public URL does not answer: %v", err) // the other checks find that
		}
		if bad.expired {
			return one(Error, "tls-expired", "the certificate has expired", bad.text, "renew it: 'locus tls' for those of the server, or where the proxy keeps them")
		}
		return one(Error, "tls-untrusted", "the certificate is not one that others trust", bad.text, "see that it is for "+v.Hostname+" and that the whole chain is sent")
	}
	defer func() { _ = res.Body.Close() }()
	if res.TLS == nil || len(res.TLS.PeerCertificates) == 0 {
		return notLooked("the public URL leads to one without TLS")
	}
	until := res.TLS.PeerCertificates[0].NotAfter
	if left := until.Sub(v.Now()); left < expirySoon {
		return one(Warning, "tls-expires", fmt.Sprintf("the certificate expires in %d days", int(left.Hours()/24)), "valid until "+until.UTC().Format(time.RFC3339), "see why it was not renewed: 'locus tls', or the log of the proxy")
	}
	return nil
}

// handles asks as others do which DID a handle has. One account stands for all: what is wrong with one alone is found by
// 'locus doctor --account'.
func (v visitor) handles(ctx context.Context) []Finding {
	accounts, err := v.Sample(ctx)
	if err != nil {
		return one(Error, "accounts", "the accounts cannot be read", err.Error(), "look at the database")
	}
	for _, a := range accounts {
		under := slices.ContainsFunc(v.HandleDomains, func(d string) bool { return strings.HasSuffix(a.Handle, "."+d) })
		if a.Handle == "" || !under || v.Development {
			continue
		}
		at := v.handleURL(a.Handle)
		body, status, err := outbound.Fetch(ctx, v.HTTP, at, "text/plain", maxAnswer)
		var bad *certError
		switch {
		case err != nil && asCertError(err, &bad):
			return one(Error, "tls-handles", "the certificate does not hold for handles", at+": "+bad.text, "have a certificate for *"+a.Handle[strings.IndexByte(a.Handle, '.'):]+", or one for each handle: docs/tls.md")
		case status != 0 && err != nil:
			return one(Error, "handle-wellknown", "handles lead nowhere", fmt.Sprintf("%s answers with status %d", at, status), "let the proxy hand /.well-known/atproto-did of all names under the handle domains on to this server, with the Host header as it came")
		case err != nil:
			return one(Error, "handle-wellknown", "handles lead nowhere", err.Error(), "see that names under the handle domains lead to this server")
		case strings.TrimSpace(string(body)) != a.DID:
			return one(Error, "handle-wellknown", "handles lead to other accounts", fmt.Sprintf("%s says %.100q, not %s", at, body, a.DID), "let the proxy hand /.well-known/atproto-did on to this server, with the Host header as it came, and keep no copies of it")
		}
		return nil
	}
	if v.Development {
		return notLooked("the handles of a development deployment lead nowhere outside of it")
	}
	return notLooked("of the newest accounts none has a handle under the tenant's handle domains")
}

// handleURL is where a handle's DID is asked for: at the same scheme and port as the tenant.
func (v visitor) handleURL(handle string) string {
	u, err := url.Parse(v.PublicURL)
	if err != nil {
		return "https://" + handle + "/.well-known/atproto-did"
	}
	u.Host = handle
	if _, port, ok := strings.Cut(strings.TrimPrefix(v.PublicURL, u.Scheme+"://"), ":"); ok {
		u.Host += ":" + port
	}
	u.Path = "/.well-known/atproto-did"
	return u.String()
}

// certError is a certificate that does not hold.
type certError struct {
	expired bool
	text    string
}

func asCertError(err error, to **certError) bool {
	var invalid x509.CertificateInvalidError
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	if errors.As(err, &invalid) || errors.As(err, &unknown) || errors.As(err, &name) {
		*to = &certError{invalid.Cert != nil && invalid.Reason == x509.Expired, err.Error()}
		return true
	}
	return false
}

func (v visitor) health(ctx context.Context) []Finding {
	_, found := v.get(ctx, "/xrpc/_health", "health")
	return found
}

func (v visitor) describe(ctx context.Context) []Finding {
	body, found := v.get(ctx, "/xrpc/com.atproto.server.describeServer", "describe")
	var said struct {
		DID string `json:"did"`
	}
	if body == nil {
		return found
	}
	if err := json.Unmarshal(body, &said); err != nil || said.DID != v.ServiceDID {
		return one(Error, "describe-other", "another server answers at the public URL", fmt.Sprintf("describeServer names %q, not %s", said.DID, v.ServiceDID), "see where DNS and the proxy lead, and that the proxy keeps the Host header")
	}
	return nil
}

func (v visitor) document(ctx context.Context) []Finding {
	body, found := v.get(ctx, "/.well-known/did.json", "service-did")
	if body == nil {
		return found
	}
	doc, err := identity.ParseDocument(v.ServiceDID, body)
	if err != nil {
		return one(Error, "service-did-other", "the document of the service's DID is another one's", err.Error(), "let the proxy hand /.well-known/did.json on to this server")
	}
	if doc.PDS() != v.PublicURL {
		return one(Error, "service-did-endpoint", "the document of the service's DID names another URL", fmt.Sprintf("it names %q, not %s", doc.PDS(), v.PublicURL), "compare 'locus deployment show' with what the proxy serves")
	}
	return nil
}

func (v visitor) oauth(ctx context.Context) []Finding {
	body, found := v.get(ctx, "/.well-known/oauth-protected-resource", "oauth")
	var said struct {
		Resource string `json:"resource"`
	}
	if body == nil {
		return found
	}
	if err := json.Unmarshal(body, &said); err != nil || said.Resource != v.PublicURL {
		return one(Error, "oauth-other", "apps cannot sign in: the metadata names another server", fmt.Sprintf("resource is %q, not %s", said.Resource, v.PublicURL), "let the proxy hand /.well-known/ on to this server")
	}
	return nil
}

// websocket asks for the change of protocol only: what the stream holds is not this check's.
func (v visitor) websocket(ctx context.Context) []Finding {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, v.PublicURL+"/xrpc/com.atproto.sync.subscribeRepos", nil)
	if err != nil {
		return notLooked("the public URL cannot be read: %v", err)
	}
	for name, value := range map[string]string{"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "bG9jdXMtZG9jdG9yLTAwMQ=="} {
		req.Header.Set(name, value)
	}
	res, err := v.HTTP.Do(req)
	if err != nil {
		return notLooked("the public URL does not answer: %v", err) // health finds that
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusSwitchingProtocols {
		return one(Error, "websocket", "relays cannot read the event stream", fmt.Sprintf("subscribeRepos answers with status %d where 101 is due", res.StatusCode), "let the proxy hand the Upgrade and Connection headers on")
	}
	return nil
}

// ask asks a relay. There is an answer or a finding; unknown is an answer with status 400 or 404.
func (v visitor) ask(ctx context.Context, relay, method string, query url.Values, into any) (unknown bool, found []Finding) {
	at := strings.TrimRight(relay, "/") + "/xrpc/" + method + "?" + query.Encode()
	body, status, err := outbound.Fetch(ctx, v.HTTP, at, "application/json", maxAnswer)
	if status == http.StatusBadRequest || status == http.StatusNotFound {
		return true, nil
	}
	if err == nil {
		err = json.Unmarshal(body, into)
	}
	if err != nil {
		return false, one(Warning, "relay-unreachable", "the relay does not answer", at+": "+err.Error(), "wait, or see whether this server may reach it; 'locus tenant set "+v.Hostname+" crawlers=…' names others")
	}
	return false, nil
}

// toRelays is what relays call this host: with a port where its URL has one, as only development servers have.
func (v visitor) toRelays() string {
	if u, err := url.Parse(v.PublicURL); err == nil && u.Hostname() == v.Hostname {
		return u.Host
	}
	return v.Hostname
}

func (v visitor) relay(ctx context.Context, relay string) []Finding {
	ours, err := v.LastSeq(ctx)
	if err != nil {
		return one(Error, "relay-seq", "our own place in the stream cannot be read", err.Error(), "look at the database")
	}
	var said struct {
		Status string `json:"status"`
		Seq    int64  `json:"seq"`
	}
	unknown, found := v.ask(ctx, relay, "com.atproto.sync.getHostStatus", url.Values{"hostname": {v.toRelays()}}, &said)
	if unknown {
		return v.unknown(ctx, relay, ours)
	}
	if found != nil {
		return found
	}
	seen := fmt.Sprintf("%s: status %s, seq %d; ours is %d", relay, said.Status, said.Seq, ours)
	switch said.Status {
	case "", "active", "idle":
	case "offline":
		return one(Error, "relay-offline", "the relay has given this host up: it could not connect for a while", seen, "see that the event stream is reachable from outside; the server asks the relay to come again at its next write")
	case "throttled":
		return one(Error, "relay-throttled", "the relay holds this host back: not all that people write is handed on", seen, "write to who runs the relay: the host has more accounts or events than it takes from one")
	case "banned":
		return one(Error, "relay-banned", "the relay has banned this host: nothing that people write is handed on", seen, "write to who runs the relay")
	default:
		return one(Error, "relay-status", "the relay does not take this host's events", seen, "see that the stream is reachable, and write to who runs the relay")
	}
	switch {
	case said.Seq > ours:
		return one(Error, "relay-ahead", "the relay has seen events that are not here", seen, "the database is older than it was, as after a restore: docs/firehose.md says how numbers jump over those that were given out")
	case said.Seq < 0 && ours > 0: // relays say -1 of a host that they have read nothing of; none said is no finding
		return one(Warning, "relay-nothing", "the relay knows this host, and has read nothing of it", seen, "look again in a minute; if it stays so, see that the event stream is reachable from outside")
	}
	behind, err := v.EventsAfter(ctx, said.Seq, relayLag+1)
	switch {
	case err != nil:
		return one(Error, "relay-seq", "what the relay has not read yet cannot be counted", err.Error(), "look at the database")
	case behind > relayLag:
		return one(Warning, "relay-behind", "the relay is behind", fmt.Sprintf("%s; more than %d events lie between", seen, relayLag), "see whether it gains; if not, see that the event stream is reachable from outside")
	}
	return nil
}

// unknown says why a relay may never have heard of this host.
func (v visitor) unknown(ctx context.Context, relay string, ours int64) []Finding {
	seen := relay + " has no status of it"
	do := "see that the findings above are none; the server asks the relay to come at the next write. If the relay does not take that, it may have banned the domain: write to who runs it"
	if n, err := v.Refused(ctx, relay); err == nil && n > 0 {
		seen += fmt.Sprintf("; it was asked to come, and did not take it %d times in a row", n)
		do = "the log of the servers has the relay's answers (\"relay did not take requestCrawl\"): it tries whether it reaches this host first, and may have banned the domain. The server asks again, less and less often"
	}
	if ours == 0 {
		seen += "; nothing was written here yet"
		do = "let an account write: the server asks the relay to come then"
	}
	return one(Error, "relay-unknown", "the relay does not know this host", seen, do)
}
