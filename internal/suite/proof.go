package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// jwk is a private key of P-256.
type jwk struct{ Kty, Crv, X, Y, D string }

// signer makes tokens by hand, quickly: the machine is the server's.
type signer struct {
	key    *ecdsa.PrivateKey
	header string // of proofs, encoded
}

func newSigner(k jwk) (*signer, error) {
	raw, err := base64.RawURLEncoding.DecodeString(k.D)
	if err != nil {
		return nil, fmt.Errorf("read a key: %w", err)
	}
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), raw)
	if err != nil {
		return nil, fmt.Errorf("read a key: %w", err)
	}
	header := map[string]any{"typ": "dpop+jwt", "alg": "ES256", "jwk": map[string]string{"kty": k.Kty, "crv": k.Crv, "x": k.X, "y": k.Y}}
	return &signer{key: key, header: segment(header)}, nil
}

func segment(v any) string {
	text, _ := json.Marshal(v) // maps of texts and numbers
	return base64.RawURLEncoding.EncodeToString(text)
}

func (s *signer) sign(header string, claims map[string]any) string {
	text := header + "." + segment(claims)
	sum := sha256.Sum256([]byte(text))
	r, z, err := ecdsa.Sign(rand.Reader, s.key, sum[:])
	if err != nil {
		return text // which is refused
	}
	var raw [64]byte
	r.FillBytes(raw[:32])
	z.FillBytes(raw[32:])
	return text + "." + base64.RawURLEncoding.EncodeToString(raw[:])
}

func challenge(text string) string {
	sum := sha256.Sum256([]byte(text))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// assert adds the client's assertion to a form.
func (b *bench) assert(form url.Values) url.Values {
	now := time.Now().Unix()
	form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
	form.Set("client_assertion", b.assertion.sign(segment(map[string]string{"alg": "ES256", "kid": "bench-1"}),
		map[string]any{"iss": b.Client, "sub": b.Client, "aud": b.Issuer, "jti": random(12), "iat": now, "exp": now + 60}))
	return form
}

// plain is where a public URL is behind the front.
func plain(public string) string { return "http" + strings.TrimPrefix(public, "https") }

func dialTo(address string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, address)
	}
}

// proven sends a request with a proof, and once more where the server wants another nonce.
func (b *bench) proven(ctx context.Context, p *benchPerson, method, at, token string, form url.Values, want int) ([]byte, http.Header, error) {
	for try := 0; ; try++ {
		claims := map[string]any{"jti": random(12), "htm": method, "htu": at, "iat": time.Now().Unix()}
		if p.nonce != "" {
			claims["nonce"] = p.nonce
		}
		if token != "" {
			claims["ath"] = challenge(token)
		}
		r, err := http.NewRequestWithContext(ctx, method, plain(at), strings.NewReader(form.Encode()))
		if err != nil {
			return nil, nil, err
		}
		r.Header.Set("DPoP", p.signer.sign(p.signer.header, claims))
		r.Header.Set("X-Forwarded-Proto", "https")
		if token != "" {
			r.Header.Set("Authorization", "DPoP "+token)
		}
		if form != nil {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		res, err := b.client.Do(r)
		if err != nil {
			return nil, nil, err
		}
		text, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err != nil {
			return nil, nil, err
		}
		nonce := res.Header.Get("DPoP-Nonce")
		fresh := nonce != "" && nonce != p.nonce
		if fresh {
			p.nonce = nonce
		}
		switch {
		case res.StatusCode == want:
			return text, res.Header, nil
		case fresh && try == 0 && (bytes.Contains(text, []byte("use_dpop_nonce")) || strings.Contains(res.Header.Get("WWW-Authenticate"), "use_dpop_nonce")):
		default:
			return nil, nil, fmt.Errorf("%s: status %d %.300s", at, res.StatusCode, text)
		}
	}
}

func (b *bench) expect(r *http.Request, want int) error {
	r.Header.Set("X-Forwarded-Proto", "https")
	res, err := b.client.Do(r)
	if err != nil {
		return err
	}
	text, err := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if err == nil && res.StatusCode != want {
		err = fmt.Errorf("%s: status %d %.300s", r.URL, res.StatusCode, text)
	}
	return err
}

// visit opens the authorization as the person's browser does, and gives the code that it ends with.
func (b *bench) visit(ctx context.Context, p *benchPerson, at string) (string, error) {
	for range 5 {
		u, err := url.Parse(at)
		if err != nil {
			return "", err
		}
		if strings.HasPrefix(at, b.Redirect) {
			if code := u.Query().Get("code"); code != "" {
				return code, nil
			}
			return "", errors.New("no code: " + u.RawQuery)
		}
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, plain(at), nil)
		if err != nil {
			return "", err
		}
		for k, v := range map[string]string{"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Sec-Fetch-Site": "cross-site", "User-Agent": p.Agent, "Accept": "text/html", "X-Forwarded-Proto": "https"} {
			r.Header.Set(k, v)
		}
		for k, v := range p.Cookies {
			r.AddCookie(&http.Cookie{Name: k, Value: v})
		}
		res, err := b.client.Do(r)
		if err != nil {
			return "", err
		}
		text, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
		_ = res.Body.Close()
		if err != nil {
			return "", err
		}
		for _, c := range res.Cookies() {
			if c.MaxAge < 0 {
				delete(p.Cookies, c.Name)
			} else {
				p.Cookies[c.Name] = c.Value
			}
		}
		to, err := res.Location()
		if err != nil {
			return "", fmt.Errorf("%s: status %d, no way on: %.300s", at, res.StatusCode, text)
		}
		if to.Host == u.Host {
			to.Scheme = "https"
		}
		at = to.String()
	}
	return "", errors.New("too many redirects")
}
