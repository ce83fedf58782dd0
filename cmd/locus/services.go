package main

import (
	"fmt"

	"github.com/auroralocus/locus/internal/outbound"
	"github.com/auroralocus/locus/internal/proxy"
	"github.com/auroralocus/locus/internal/tenant"
)

// servicesFlags are the services of the network that the tenants' calls go to, where a tenant does not say otherwise.
type servicesFlags struct {
	AppView           string `placeholder:"SERVICE" help:"Service that answers what this server has no method for, as did#id=URL, or none; tenants may have their own (locus tenant keys). Default: did:web:api.bsky.app#bsky_appview=https://api.bsky.app; none with --dev." env:"LOCUS_APP_VIEW"`
	ReportService     string `placeholder:"SERVICE" help:"Service that reports go to, or none. Default: did:plc:ar7c4by46qjdydhdevvrndac#atproto_labeler=https://mod.bsky.app; none with --dev." env:"LOCUS_REPORT_SERVICE"`
	ModerationService string `placeholder:"SERVICE" help:"Service that the methods of moderators go to, or none. Default: as of reports." env:"LOCUS_MODERATION_SERVICE"`
	CDNPattern        string `name:"cdn-pattern" placeholder:"URL" help:"Where pictures in answers of the app view are, with %s for the kind, the DID and the CID, or none. Default: https://cdn.bsky.app/img/%s/plain/%s/%s@jpeg; none with --dev." env:"LOCUS_CDN_PATTERN"`
}

// The network's usual services.
const (
	usualAppView = "did:web:api.bsky.app#bsky_appview=https://api.bsky.app"
	usualLabeler = "did:plc:ar7c4by46qjdydhdevvrndac#atproto_labeler=https://mod.bsky.app"
	usualCDN     = "https://cdn.bsky.app/img/%s/plain/%s/%s@jpeg"
)

// services reads the flags. A development server calls nobody outside unless it is told to.
func (f servicesFlags) services(dev bool) (out proxy.Services, err error) {
	usual := func(text, otherwise string) string {
		if text == "" && !dev {
			return otherwise
		}
		return text
	}
	if out.AppView, err = proxy.ParseDefault(usual(f.AppView, usualAppView), tenant.ServiceAppView); err != nil {
		return out, fmt.Errorf("--app-view or LOCUS_APP_VIEW: %w", err)
	}
	report := usual(f.ReportService, usualLabeler)
	if out.Report, err = proxy.ParseDefault(report, tenant.ServiceLabeler); err != nil {
		return out, fmt.Errorf("--report-service or LOCUS_REPORT_SERVICE: %w", err)
	}
	moderation := f.ModerationService
	if moderation == "" {
		moderation = report
	}
	if out.Moderation, err = proxy.ParseDefault(moderation, tenant.ServiceLabeler); err != nil {
		return out, fmt.Errorf("--moderation-service or LOCUS_MODERATION_SERVICE: %w", err)
	}
	out.CDN = usual(f.CDNPattern, usualCDN)
	if err := tenant.CheckPictures(out.CDN); err != nil {
		return out, fmt.Errorf("--cdn-pattern or LOCUS_CDN_PATTERN: %w", err)
	}
	if out.CDN == tenant.NoService {
		out.CDN = ""
	}
	return out, nil
}

// Connections to services that are kept for later calls: of one host, and of all.
const (
	idlePerService = 256
	idleServices   = 1024
)

// callsElsewhere are the ways to other services. What a DID document names is public; what an operator names may be one of
// the private hosts.
func callsElsewhere(dev bool, private outbound.Private) (public, named outbound.Policy) {
	public = outbound.Policy{
		AllowLoopback: dev, AnyPort: true, AsSent: true, Timeout: -1, IdlePerHost: idlePerService, Idle: idleServices,
	}
	named = public
	named.Private = private
	return public, named
}
