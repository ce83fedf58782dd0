package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
)

// Post is where mail goes, and from whom.
type Post struct {
	Server string                          // for people; "": there is none
	Dial   func(ctx context.Context) error // connects, changes to TLS and signs in as for a message, and sends none
	From   string                          // the sender's address; "": not looked at
	// Selectors are the names of DKIM keys that the mail server may sign with.
	Selectors []string
	// SetBy says for people who named the server.
	SetBy string
}

// UsualSelectors are the names of DKIM keys that are tried where nobody says which one it is.
var UsualSelectors = []string{"default", "dkim", "mail", "s1", "s2", "k1", "k2", "key1", "selector1", "selector2", "google", "mx", "smtp", "pm", "mandrill", "fm1", "protonmail"}

func (p Post) checks(group string, dns *net.Resolver) []Check {
	checks := []Check{{group, "mail", "the mail server, up to where a message would be handed over", p.server}}
	if p.From != "" && p.Server != "" && !isLocal(p.domain()) {
		checks = append(checks, Check{group, "mail-domain", "SPF, DKIM and DMARC of " + p.domain(), func(ctx context.Context) []Finding { return p.records(ctx, dns) }})
	}
	return checks
}

func (p Post) domain() string { return strings.ToLower(p.From[strings.LastIndexByte(p.From, '@')+1:]) }

// isLocal tells names that no name server of the world knows.
func isLocal(domain string) bool {
	_, err := netip.ParseAddr(domain)
	return err == nil || domain == "localhost" || strings.HasSuffix(domain, ".localhost") || strings.HasSuffix(domain, ".test")
}

func (p Post) server(ctx context.Context) []Finding {
	if p.Server == "" {
		return one(Warning, "mail-none", "no mail can be sent: codes for new passwords, addresses and sign-ins reach nobody", "there is no mail server", "give one by --smtp-url or LOCUS_SMTP_URL, or 'locus tenant smtp' to one tenant")
	}
	if err := p.Dial(ctx); err != nil {
		return one(Error, "mail-refused", "the mail server does not take mail", err.Error(), "see that it runs, and that address, TLS, user and password in "+p.SetBy+" are right; 'locus mail try' sends a message")
	}
	return nil
}

// records looks at what receivers ask the sender's domain for.
// spec: RFC 7208 section 3.2, RFC 6376 section 3.6.2.1, RFC 7489 section 6.1
func (p Post) records(ctx context.Context, dns *net.Resolver) (found []Finding) {
	domain := p.domain()
	add := func(name, wrong, seen, do string) {
		found = append(found, Finding{Warning, name, wrong, seen, do})
	}
	spf, err := texts(ctx, dns, domain, "v=spf1")
	switch {
	case err != nil:
		add("mail-dns", "the records of the sender's domain cannot be looked up", err.Error(), "look again; if it stays so, see the domain's name servers")
		return found
	case len(spf) == 0:
		add("mail-spf", "receivers may take mail for forged: the sender's domain has no SPF record", "no TXT record of "+domain+" begins with v=spf1", "make one that names the mail server, as your mail provider says")
	case len(spf) > 1:
		add("mail-spf-twice", "receivers ignore SPF: the sender's domain has several records", fmt.Sprintf("%d TXT records of %s begin with v=spf1", len(spf), domain), "join them into one")
	}
	dmarc, err := texts(ctx, dns, "_dmarc."+domain, "v=DMARC1")
	if parent, ok := parentOf(domain); err == nil && len(dmarc) == 0 && ok { // it holds for subdomains
		dmarc, err = texts(ctx, dns, "_dmarc."+parent, "v=DMARC1")
	}
	if err == nil && len(dmarc) == 0 {
		add("mail-dmarc", "receivers are not told what to do with forged mail: the sender's domain has no DMARC record", "no TXT record of _dmarc."+domain+" begins with v=DMARC1", "make one, at first \"v=DMARC1; p=none\"")
	}
	selectors := p.Selectors
	if len(selectors) == 0 {
		selectors = UsualSelectors
	}
	if !hasKey(ctx, dns, domain, selectors) {
		add("mail-dkim", "no DKIM key was found, so receivers may take mail for forged", fmt.Sprintf("none of %s has a TXT record with a key under _domainkey.%s", strings.Join(selectors, ", "), domain), "have the mail server sign, and publish its key; if its name is another one, LOCUS_DKIM_SELECTORS says so")
	}
	return found
}

// parentOf is the domain above, unless it is one of two labels or fewer.
func parentOf(domain string) (string, bool) {
	_, parent, ok := strings.Cut(domain, ".")
	return parent, ok && strings.Contains(parent, ".")
}

func hasKey(ctx context.Context, dns *net.Resolver, domain string, selectors []string) bool {
	there := make(chan bool, len(selectors))
	for _, s := range selectors {
		go func() {
			records, err := dns.LookupTXT(ctx, s+"._domainkey."+domain)
			ok := false
			for _, r := range records {
				ok = ok || strings.Contains(r, "p=")
			}
			there <- err == nil && ok
		}()
	}
	any := false
	for range selectors {
		any = <-there || any
	}
	return any
}

// texts are the TXT records of a name that begin with a word. A name without any is no error.
func texts(ctx context.Context, dns *net.Resolver, name, begin string) (out []string, err error) {
	records, err := dns.LookupTXT(ctx, name)
	var not *net.DNSError
	if errors.As(err, &not) && not.IsNotFound {
		return nil, nil
	}
	for _, r := range records {
		if len(r) >= len(begin) && strings.EqualFold(r[:len(begin)], begin) {
			out = append(out, r)
		}
	}
	return out, err
}
