package endpoint_test

import (
	"net/url"
	"testing"

	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/oauth/oauthtest"
)

// quick is a call without looking for a nonce first: the clock stands still, so one is good for all.
func (a *app) quick(path, nonce string, form url.Values) got {
	p := oauthtest.Proof{Method: "POST", URL: a.at.PublicURL + path, Nonce: nonce, At: a.clock.Now()}
	return a.raw(path, form, map[string]string{"DPoP": a.key.Prove(a.t, p)})
}

// Sessions that are refreshed by several clients at once, over HTTP. Making the proof is part of it.
func BenchmarkRefresh(b *testing.B) {
	h := newHouse(b)
	for name, a := range map[string]*app{"public": h.publicApp(h.a), "confidential": h.confidentialApp(h.a)} {
		who, nonce := h.person(h.a, "a-"+name), a.nonce()
		tokens := make(chan string, 64)
		for range cap(tokens) {
			tokens <- a.signIn(who).str("refresh_token")
		}
		b.Run(name, func(b *testing.B) {
			b.SetParallelism(8)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					g := a.quick("/oauth/token", nonce, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {<-tokens}})
					if g.status != 200 {
						b.Errorf("%d %v", g.status, g.body)
						return
					}
					tokens <- g.str("refresh_token")
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "refreshes/s")
		})
	}
}

// A whole sign-in but for its pages: request, yes, code, tokens.
func BenchmarkSignIn(b *testing.B) {
	h := newHouse(b)
	a := h.publicApp(h.a)
	var who []act.Owner
	for _, name := range []string{"alice", "carol", "dave", "erin"} {
		who = append(who, h.person(h.a, name))
	}
	nonce := a.nonce()
	b.ResetTimer()
	for i := range b.N {
		v := verifier()
		uri := a.quick("/oauth/par", nonce, a.asks(v, nil)).ok().str("request_uri")
		a.quick("/oauth/token", nonce, a.redeemForm(a.yes(who[i%len(who)], uri), v)).ok()
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "signins/s")
}
