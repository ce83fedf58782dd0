package proxy

import (
	"context"
	"errors"
	"net/url"
	"strings"

	"github.com/auroralocus/locus/internal/identity"
	"github.com/auroralocus/locus/internal/tenant"
)

// Target is a service to be called.
type Target struct {
	tenant.Service
	named bool // by an operator: it may be at a private address
}

// HeaderError says what is wrong with a header atproto-proxy, in the words that clients of the network know.
type HeaderError struct {
	text  string
	cause error
}

func (e *HeaderError) Error() string { return e.text }
func (e *HeaderError) Unwrap() error { return e.cause }

// Is makes every one of them [ErrHeader].
func (e *HeaderError) Is(target error) bool { return target == ErrHeader }

// Said is what the client is told.
func (e *HeaderError) Said() string { return e.text }

// NoServiceError is [ErrNoService] for a method.
type NoServiceError struct{ NSID string }

func (e *NoServiceError) Error() string { return "no service configured for " + e.NSID }
func (e *NoServiceError) Unwrap() error { return ErrNoService }

// Said is what the client is told.
func (e *NoServiceError) Said() string { return "No service configured for " + e.NSID }

// Wish is whom a call is for, before anything was looked up.
type Wish struct {
	target  Target
	did, id string // of the header; "" when the target is known
}

// Wish reads the header atproto-proxy, or finds the tenant's service for a method when it is empty. It asks nobody.
// Errors: [*HeaderError], [*NoServiceError].
// spec: xrpc#service-proxying
func (p *Proxy) Wish(t *tenant.Tenant, nsid, header string) (Wish, error) {
	if t.Settings.Isolated {
		return Wish{}, &NoServiceError{nsid}
	}
	if header == "" {
		target, ok := p.usual(t, nsid)
		if !ok {
			return Wish{}, &NoServiceError{nsid}
		}
		return Wish{target: target}, nil
	}
	did, id, found := strings.Cut(header, "#")
	text := ""
	switch {
	case found && did == "":
		text = "no did specified in proxy header"
	case !found || id == "":
		text = "no service id specified in proxy header"
	case strings.Contains(id, "#"):
		text = "invalid proxy header format"
	case strings.Contains(header, " "):
		text = "proxy header cannot contain spaces"
	}
	if text != "" {
		return Wish{}, &HeaderError{text: text}
	}
	if view, ok := p.AppView(t); ok && view.Reference() == header {
		return Wish{target: view}, nil
	}
	return Wish{did: did, id: id}, nil
}

// Reference is the service that is wished for, with its #id: what an OAuth scope has to name.
func (w Wish) Reference() string {
	if w.did == "" {
		return w.target.Reference()
	}
	return w.did + "#" + w.id
}

// Find looks up where the service is. Errors: [*HeaderError], and the asker's.
func (p *Proxy) Find(ctx context.Context, who identity.Asker, w Wish) (Target, error) {
	if w.did == "" {
		return w.target, nil
	}
	doc, err := p.cfg.Documents.Resolve(ctx, who, w.did)
	switch {
	case errors.Is(err, identity.ErrDIDSyntax):
		return Target{}, &HeaderError{"Poorly formatted DID: " + clip(w.did), err}
	case errors.Is(err, identity.ErrDIDMethod):
		return Target{}, &HeaderError{"Unsupported DID method: " + clip(w.did), err}
	case err != nil && ctx.Err() != nil:
		return Target{}, ctx.Err()
	case errors.Is(err, identity.ErrDIDNotFound), errors.Is(err, identity.ErrDIDTombstoned), errors.Is(err, identity.ErrDocument), errors.Is(err, identity.ErrDIDUnavailable):
		return Target{}, &HeaderError{"could not resolve proxy did", err}
	case err != nil:
		return Target{}, err
	}
	service, ok := serviceOf(doc, w.id)
	if !ok {
		return Target{}, &HeaderError{text: "could not resolve proxy did service url"}
	}
	return Target{Service: service}, nil
}

// serviceOf is an entry of a document, whatever its type. Of its address only the origin counts.
func serviceOf(doc *identity.Document, id string) (tenant.Service, bool) {
	entry, err := doc.FindService(id, "")
	if err != nil {
		return tenant.Service{}, false
	}
	u, err := url.Parse(entry.Endpoint)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.User != nil {
		return tenant.Service{}, false
	}
	return tenant.Service{DID: doc.ID, ID: id, URL: &url.URL{Scheme: u.Scheme, Host: u.Host}}, true
}

// clip bounds what an error repeats of a header.
func clip(s string) string {
	if len(s) > 256 {
		s = s[:256] + "…"
	}
	return strings.ToValidUTF8(s, "")
}

// AppView is the tenant's app view; false: it does without one.
func (p *Proxy) AppView(t *tenant.Tenant) (Target, bool) {
	return p.cfg.Defaults.appView(t)
}

func (s Services) appView(t *tenant.Tenant) (Target, bool) {
	return chosen(t, t.Settings.AppView, tenant.ServiceAppView, s.AppView)
}

// AppViewURL is where the tenant's app view is; "": it does without one.
func (s Services) AppViewURL(t *tenant.Tenant) string {
	if view, ok := s.appView(t); ok {
		return view.URL.String()
	}
	return ""
}

// Report is the service that the tenant's reports go to.
func (p *Proxy) Report(t *tenant.Tenant) (Target, bool) {
	return chosen(t, t.Settings.ReportService, tenant.ServiceLabeler, p.cfg.Defaults.Report)
}

// Moderation is the service that the methods of the tenant's moderators go to.
func (p *Proxy) Moderation(t *tenant.Tenant) (Target, bool) {
	return chosen(t, t.Settings.ModerationService, tenant.ServiceLabeler, p.cfg.Defaults.Moderation)
}

// CDN is the pattern of pictures' addresses, with %s for the kind, the DID and the CID; "": this server has them.
func (p *Proxy) CDN(t *tenant.Tenant) string {
	switch text := t.Settings.CDNPattern; text {
	case "":
		return p.cfg.Defaults.CDN
	case tenant.NoService:
		return ""
	default:
		return text
	}
}

// chosen is a tenant's setting over the deployment's default. A copy for trying things out has none.
func chosen(t *tenant.Tenant, setting, id string, other tenant.Service) (Target, bool) {
	if t.Settings.Isolated {
		return Target{}, false
	}
	switch setting {
	case tenant.NoService:
		return Target{}, false
	case "":
		return Target{Service: other, named: true}, other.URL != nil
	}
	s, err := tenant.ParseService(setting, id)
	return Target{Service: s, named: true}, err == nil // settings that do not parse are not kept
}

// ParseDefault reads a service of the deployment; "" and none are none.
func ParseDefault(text, id string) (tenant.Service, error) {
	if text == "" || text == tenant.NoService {
		return tenant.Service{}, nil
	}
	s, err := tenant.ParseService(text, id)
	return s, err
}

const methodReport = "com.atproto.moderation.createReport"

// usual is the service that a method is for when the caller names none.
func (p *Proxy) usual(t *tenant.Tenant, nsid string) (Target, bool) {
	switch {
	case nsid == methodReport:
		return p.Report(t)
	case strings.HasPrefix(nsid, "tools.ozone."): // all of them: an app view has none
		return p.Moderation(t)
	}
	return p.AppView(t)
}
