package doctor

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"slices"
	"strings"

	"github.com/auroralocus/locus/internal/outbound"
)

// A server answers a request that only somebody with the master key can have made with the address that it took for the
// caller. The doctor writes an address of its own choice into the request, as anybody can, and sees what came of it.
const (
	// ProbeHeader holds the proof of who asks.
	ProbeHeader = "Locus-Doctor"
	// SeenHeader holds the answer: [Seen], made by [Seen.Text].
	SeenHeader = "Locus-Doctor-Saw"
	// ProbePath is where it is answered.
	ProbePath = "/xrpc/_health"
	// chosen is an address that nobody has: one for documentation.
	chosen = "192.0.2.77"
)

// Seen is what a server saw of a request.
type Seen struct {
	Client    string   `json:"client"`              // the address that it counts the caller under
	Peer      string   `json:"peer"`                // address and port of the connection
	Forwarded []string `json:"forwarded,omitempty"` // X-Forwarded-For as it came
}

// Text is its form in a header.
func (s Seen) Text() string {
	text, _ := json.Marshal(s) // strings only
	return base64.RawURLEncoding.EncodeToString(text)
}

func parseSeen(text string) (s Seen, err error) {
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err == nil {
		err = json.Unmarshal(raw, &s)
	}
	return s, err
}

// address looks at which address the server takes for the caller's.
func (v visitor) address(ctx context.Context) []Finding {
	proof, err := v.Probe()
	if err != nil {
		return one(Warning, "address-probe", "whose address the server sees cannot be asked", err.Error(), "give the master key of this database")
	}
	var local string
	trace := &httptrace.ClientTrace{GotConn: func(c httptrace.GotConnInfo) { local = c.Conn.LocalAddr().String() }}
	// The proof differs each time, so that no cache answers.
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, trace), http.MethodGet, v.PublicURL+ProbePath+"?doctor="+proof[max(0, len(proof)-16):], nil)
	if err != nil {
		return notLooked("the public URL cannot be read: %v", err)
	}
	req.Header.Set(ProbeHeader, proof)
	req.Header.Set("X-Forwarded-For", chosen)
	res, err := v.HTTP.Do(req)
	if err != nil {
		return notLooked("the public URL does not answer: %v", err) // health finds that
	}
	_, err = outbound.ReadBody(res, maxAnswer)
	if err != nil || res.StatusCode != http.StatusOK {
		return notLooked("the public URL answers with status %d", res.StatusCode)
	}
	seen, err := parseSeen(res.Header.Get(SeenHeader))
	if err != nil || seen.Client == "" {
		return one(Warning, "address-silent", "the server does not say which address it takes for a caller's", "no header "+SeenHeader+" in the answer of "+v.PublicURL+ProbePath,
			"see that its version is this one, that its clock is right, and that the proxy hands headers on in both directions")
	}
	return seen.judge(local)
}

// judge says what is wrong; local is the address and port that the request was sent from.
func (s Seen) judge(local string) []Finding {
	if s.Peer == local {
		return nil // nothing stands between: each caller comes from its own address
	}
	var hops []string
	for _, hop := range strings.Split(strings.Join(s.Forwarded, ","), ",") {
		if hop = strings.TrimSpace(hop); hop != "" {
			hops = append(hops, plain(hop))
		}
	}
	seen := fmt.Sprintf("X-Forwarded-For came as %q from %s, and the server took %s", strings.Join(s.Forwarded, ", "), s.Peer, s.Client)
	ours := -1
	for i, hop := range slices.Backward(hops) {
		if hop == chosen {
			ours = i
			break
		}
	}
	chain := append(slices.Clone(hops), plain(s.Peer))
	switch {
	case len(hops) == 0:
		return one(Error, "address-none", "everybody counts as one caller: what stands in front does not say who calls", seen, "let the proxy set X-Forwarded-For: docs/tls.md has examples")
	case s.Client == chosen && ours == len(hops)-1:
		return one(Error, "address-chosen", "anybody can choose the address that they are counted under", seen+", which the doctor had made up", "let the proxy write X-Forwarded-For itself, or add to it: docs/tls.md has examples")
	case s.Client == chosen:
		return one(Warning, "address-unknown", "which addresses others are counted under cannot be seen from here", seen+"; the doctor's own address is one of the trusted proxies'", "run 'locus doctor' on a machine elsewhere, or name the proxies alone in --trusted-proxies")
	case s.Client != chain[ours+1] && ours+1 < len(hops):
		return one(Error, "address-proxy", "everybody who comes through "+s.Client+" counts as one caller", seen+"; the caller was "+chain[ours+1], "add the proxy's addresses to --trusted-proxies (of a CDN: all that it publishes)")
	}
	return nil
}

// plain is an address without port and brackets.
func plain(text string) string {
	if ap, err := netip.ParseAddrPort(text); err == nil {
		return ap.Addr().Unmap().String()
	}
	if a, err := netip.ParseAddr(strings.Trim(text, "[]")); err == nil {
		return a.Unmap().String()
	}
	return text
}
