package identity

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/auroralocus/locus/internal/outbound"
)

// ResolveHandle finds the DID a handle leads to. The answer may be half a minute old. Errors: ErrHandleSyntax,
// ErrHandleNotFound, and the asker's.
func (r *Resolver) ResolveHandle(ctx context.Context, who Asker, handle string) (string, error) {
	h, err := NormalizeHandle(handle)
	if err != nil {
		return "", err
	}
	switch did, ok := r.handles.get(h, r.cfg.Now()); {
	case ok && did != "":
		return did, nil
	case ok:
		return "", fmt.Errorf("%s: %w (a moment ago)", h, ErrHandleNotFound)
	}
	return r.RefreshHandle(ctx, who, h)
}

// RefreshHandle is ResolveHandle that asks now, for who has just set a handle up. It asks DNS and the host itself at
// once; DNS has precedence.
// spec: handle#handle-resolution
func (r *Resolver) RefreshHandle(ctx context.Context, who Asker, handle string) (string, error) {
	h, err := NormalizeHandle(handle)
	if err != nil {
		return "", err
	}
	if err := who.charge(); err != nil {
		return "", err
	}
	did, err := r.askHandle(ctx, h)
	if ctx.Err() == nil { // else it is the caller who went away
		r.handles.put(who.Scope, h, did, r.cfg.Now())
	}
	return did, err
}

func (r *Resolver) askHandle(ctx context.Context, h string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	if r.devHandle(h) {
		return r.handleByHTTP(ctx, h)
	}
	type answer struct {
		did string
		err error
	}
	web := make(chan answer, 1)
	go func() {
		did, err := r.handleByHTTP(ctx, h)
		web <- answer{did, err}
	}()
	did, dnsErr := r.handleByDNS(ctx, h)
	if dnsErr == nil {
		cancel()
		<-web // nothing of this call outlives it
		return did, nil
	}
	a := <-web
	if a.err != nil {
		return "", fmt.Errorf("%s: %w", h, errors.Join(dnsErr, a.err))
	}
	return a.did, nil
}

func (r *Resolver) devHandle(h string) bool {
	return r.cfg.DevHost != "" && (strings.HasSuffix(h, ".test") || strings.HasSuffix(h, ".localhost"))
}

func (r *Resolver) handleByDNS(ctx context.Context, h string) (string, error) {
	// The final dot keeps the machine's search domains out of it.
	records, err := r.cfg.DNS.LookupTXT(ctx, "_atproto."+h+".")
	if err != nil {
		return "", fmt.Errorf("%w: DNS: %w", ErrHandleNotFound, err)
	}
	return parseHandleTXT(records)
}

// maxRedirects is how often a handle's host may point elsewhere.
const maxRedirects = 5

// spec: handle#https-well-known-method
func (r *Resolver) handleByHTTP(ctx context.Context, h string) (string, error) {
	const path = "/.well-known/atproto-did"
	url := "https://" + h + path
	if r.devHandle(h) {
		url = "http://" + r.cfg.DevHost + path
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrHandleNotFound, err)
	}
	req.Host = h
	body, status, err := outbound.Do(r.web, req, "text/plain", maxHandleBody)
	if errors.Is(err, outbound.ErrStatus) {
		return "", fmt.Errorf("%w: %w", ErrHandleNotFound, &HandleStatusError{status, err})
	}
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrHandleNotFound, err)
	}
	return parseHandleAnswer(body)
}

// VerifyHandle says whether the handle leads to the DID and the DID's document names the handle. lookup finds handles
// the caller answers for itself (a tenant's own); nil, or an ErrHandleNotFound from it, means the network. Errors:
// ErrHandleMismatch, and those of the two look-ups.
// spec: handle#handle-resolution
func (r *Resolver) VerifyHandle(ctx context.Context, who Asker, handle, did string, lookup func(context.Context, string) (string, error)) error {
	h, err := NormalizeHandle(handle)
	if err != nil {
		return err
	}
	doc, err := r.Resolve(ctx, who, did)
	if err != nil {
		return err
	}
	if doc.Handle() != h {
		return fmt.Errorf("%w: the document of %s does not name %s", ErrHandleMismatch, did, h)
	}
	got, err := "", ErrHandleNotFound
	if lookup != nil {
		got, err = lookup(ctx, h)
	}
	if errors.Is(err, ErrHandleNotFound) {
		got, err = r.ResolveHandle(ctx, who, h)
	}
	if err != nil {
		return err
	}
	if got != did {
		return fmt.Errorf("%w: %s leads elsewhere", ErrHandleMismatch, h)
	}
	return nil
}

// VerifiedHandle returns the handle of a DID when both point at each other, and "handle.invalid" when they do not or
// the handle cannot be looked up.
func (r *Resolver) VerifiedHandle(ctx context.Context, who Asker, doc *Document) string {
	h := doc.Handle()
	if h == "" {
		return HandleInvalid
	}
	if did, err := r.ResolveHandle(ctx, who, h); err != nil || did != doc.ID {
		return HandleInvalid
	}
	return h
}

// HandleInvalid stands for a handle that does not verify.
const HandleInvalid = "handle.invalid"

// LexiconAuthority finds the DID whose repository has the lexicons of an NSID's group: DNS says it of the NSID without its
// last part, reversed. Errors: [ErrHandleNotFound], and the asker's.
// spec: lexicon#lexicon-publication-and-resolution
func (r *Resolver) LexiconAuthority(ctx context.Context, who Asker, nsid string) (string, error) {
	if err := who.charge(); err != nil {
		return "", err
	}
	parts := strings.Split(nsid, ".")
	parts = parts[:len(parts)-1]
	slices.Reverse(parts)
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	records, err := r.cfg.DNS.LookupTXT(ctx, "_lexicon."+strings.ToLower(strings.Join(parts, "."))+".")
	if err != nil {
		return "", fmt.Errorf("%w: DNS: %w", ErrHandleNotFound, err)
	}
	return parseHandleTXT(records)
}
