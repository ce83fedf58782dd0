package main

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"time"

	"github.com/auroralocus/locus/internal/doctor"
	"github.com/auroralocus/locus/internal/inbound"
	"github.com/auroralocus/locus/internal/keyring"
)

// probeFor is how long the doctor's proof holds: there and back, and clocks that lie a little apart.
const probeFor = time.Minute

// mostProof bounds what is tried to be opened.
const mostProof = 512

func probeBinding() keyring.Binding {
	return keyring.Binding{Schema: "control", Owner: "doctor", Purpose: "probe"}
}

// probe is what a proof says: for which host, and until when.
type probe struct {
	Host  string    `json:"host"`
	Until time.Time `json:"until"`
}

// proofFor makes proofs for the public host of a tenant.
func proofFor(keys *keyring.Keyring, host string) func() (string, error) {
	return func() (string, error) {
		text, err := json.Marshal(probe{host, time.Now().Add(probeFor)})
		if err != nil {
			return "", err
		}
		sealed, err := keys.Seal(probeBinding(), text)
		return base64.RawURLEncoding.EncodeToString(sealed), err
	}
}

// tellsDoctor answers a request that carries a proof with the address that it is counted under. To anybody else nothing
// is said, and a proof that was overheard tells no more than the address of who sends it.
func tellsDoctor(keys *keyring.Keyring, proxies inbound.Proxies, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if proof := r.Header.Get(doctor.ProbeHeader); proof != "" && r.URL.Path == doctor.ProbePath && proven(keys, proof, r.Host) {
			w.Header().Set(doctor.SeenHeader, doctor.Seen{Client: proxies.Client(r).String(), Peer: r.RemoteAddr, Forwarded: r.Header["X-Forwarded-For"]}.Text())
			w.Header().Set("Cache-Control", "no-store")
		}
		next.ServeHTTP(w, r)
	})
}

func proven(keys *keyring.Keyring, proof, host string) bool {
	if len(proof) > mostProof {
		return false
	}
	sealed, err := base64.RawURLEncoding.DecodeString(proof)
	if err != nil {
		return false
	}
	text, err := keys.Open(probeBinding(), sealed)
	var p probe
	if err != nil || json.Unmarshal(text, &p) != nil {
		return false
	}
	return p.Host == host && time.Now().Before(p.Until)
}
