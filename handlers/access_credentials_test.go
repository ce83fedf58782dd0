package handlers

import (
	"encoding/base64"
	"strings"
	"time"

	"github.com/bluesky-social/indigo/atproto/atcrypto"

	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/auth"
)

func fixedHeader(header string) func(string) string { return func(string) string { return header } }

// brokenCredentials look like those of alice, who is signed in at the first tenant, or like an operator's, and are not:
// cut, changed, of another form or of another tenant.
func (h *house) brokenCredentials(alice, app, twin *user) []credential {
	h.t.Helper()
	parts := strings.Split(alice.access, ".")
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`))
	changed := []byte(parts[2])
	if changed[10]++; changed[10] != 'B' { // to another letter of base64
		changed[10] = 'A'
	}
	twinApp := twin.app("app", false)
	h.setAdminPassword(hostB, "the other tenant's")
	bearers := func(kind string, tokens ...string) (out []credential) {
		for i := 0; i < len(tokens); i += 2 {
			out = append(out, credential{name: tokens[i], header: fixedHeader(bearer(tokens[i+1])), scheme: "bearer", service: kind})
		}
		return out
	}
	// Of a token that a service might send, its form is looked at first, then what it is.
	creds := bearers("garbage",
		"one part", parts[0], "two parts", parts[0]+"."+parts[1], "five parts", alice.access+".a.b",
		"long garbage", strings.Repeat("a.", 10_000), "not base64", "!."+parts[1]+"."+parts[2],
		"alg none", none+"."+parts[1]+"."+parts[2], "a DID", alice.did, "the password", userPassword)
	creds = append(creds, bearers("",
		"signature of another token", parts[0]+"."+parts[1]+"."+strings.Split(twin.access, ".")[2],
		"payload cut", parts[0]+"."+parts[1][:20]+"."+parts[2], "signature changed", parts[0]+"."+parts[1]+"."+string(changed), "signature cut", alice.access[:len(alice.access)-3],
		"other tenant's app password", twinApp.access)...)
	creds = append(creds, bearers("empty", "two tokens", alice.access+" "+alice.access)...)
	for name, header := range map[string]string{
		"no scheme":                      "Authorization: " + alice.access,
		"digest":                         `Authorization: Digest username="admin"`,
		"basic of an account":            basic(alice.handle, userPassword),
		"basic of nobody":                basic("", ""),
		"basic without colon":            "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("admin")),
		"basic not base64":               "Authorization: Basic ?",
		"other tenant's shared password": basic("admin", "the other tenant's"),
		"shared password, another user":  basic("owner", adminPassword),
	} {
		scheme, _, _ := strings.Cut(strings.ToLower(strings.TrimPrefix(header, "Authorization: ")), " ")
		if scheme != "basic" {
			scheme = "other"
		}
		creds = append(creds, credential{name: name, header: fixedHeader(header), scheme: scheme})
	}
	// The scheme's case does not matter; whose app password a refresh token is of neither.
	return append(creds,
		credential{name: "full, lower case", header: fixedHeader("Authorization: bearer " + alice.access), scheme: "bearer", session: "full"},
		credential{name: "app password's refresh", header: fixedHeader(bearer(app.refresh)), scheme: "bearer", session: "refresh"},
		credential{name: "shared password, lower case", header: fixedHeader(strings.Replace(asAdmin(), "Basic", "basic", 1)), scheme: "basic", role: 4})
}

func (h *house) setAdminPassword(host, password string) {
	h.t.Helper()
	if err := h.tenants.SetAdminPassword(h.t.Context(), host, password); err != nil {
		h.t.Fatal(err)
	}
}

// deadOperators are operators' tokens that are past their time, revoked, another's, or nobody's.
func (h *house) deadOperators() []credential {
	h.t.Helper()
	expired, revoked, living, never := auth.NewOperatorToken(), auth.NewOperatorToken(), auth.NewOperatorToken(), auth.NewOperatorToken()
	err := h.db.Tenant(h.a.Schema).Tx(h.t.Context(), func(q *tenantdb.Queries) error {
		now := h.clock.Now()
		soon := now.Add(time.Second)
		for _, name := range []string{"op-dead", "op-other"} {
			if err := auth.InsertOperator(h.t.Context(), q, now, name, auth.RoleOwner, "test"); err != nil {
				return err
			}
		}
		if err := auth.InsertOperatorToken(h.t.Context(), q, now, "op-dead", expired, "", &soon); err != nil {
			return err
		}
		for _, token := range []auth.OperatorToken{revoked, living} {
			if err := auth.InsertOperatorToken(h.t.Context(), q, now, "op-dead", token, "", nil); err != nil {
				return err
			}
		}
		return auth.RevokeOperatorToken(h.t.Context(), q, revoked.ID)
	})
	if err != nil {
		h.t.Fatal(err)
	}
	h.clock.add(2 * time.Second)
	var creds []credential
	for _, c := range []struct {
		name  string
		token auth.OperatorToken
	}{{"expired", expired}, {"revoked", revoked}, {"unknown", never}} {
		creds = append(creds,
			credential{name: c.name + " operator token", header: fixedHeader(bearer(c.token.Secret)), scheme: "bearer", service: "operator"},
			credential{name: c.name + " operator token by basic", header: fixedHeader(basic("op-dead", c.token.Secret)), scheme: "basic"})
	}
	return append(creds, credential{name: "another operator's token by basic", header: fixedHeader(basic("op-other", living.Secret)), scheme: "basic"},
		credential{name: "operator token by basic without a name", header: fixedHeader(basic("", living.Secret)), scheme: "basic"})
}

// brokenServices are tokens of a service, an account of the second tenant, or nearly. Those whose issuer is the matter name
// an account of the first tenant: elsewhere only that it has none there would be said.
func (h *house) brokenServices(u, alice *user) []credential {
	h.t.Helper()
	did, q := u.did, h.db.Tenant(h.b.Schema).Q()
	key, err := account.Signer(h.t.Context(), q, h.keys, h.b.Schema, h.aid(h.b, did))
	if err != nil {
		h.t.Fatal(err)
	}
	stranger, err := atcrypto.GeneratePrivateKeyK256()
	if err != nil {
		h.t.Fatal(err)
	}
	mint := func(key auth.Signer, iss, aud, lxm string, ahead time.Duration) string {
		now := h.clock.Now()
		jwt, err := auth.MintService(key, now, now.Add(ahead), iss, aud, lxm)
		if err != nil {
			h.t.Fatal(err)
		}
		return bearer(jwt)
	}
	service := func(kind string, token func(nsid string) string) credential {
		return credential{name: "service token: " + kind, header: token, scheme: "bearer", service: kind}
	}
	return []credential{
		service("JwtExpired", func(nsid string) string { return mint(key, did, h.a.ServiceDID, nsid, -time.Minute) }),
		service("BadJwtAudience", func(nsid string) string { return mint(key, did, h.b.ServiceDID, nsid, time.Minute) }),
		service("BadJwtLexiconMethod", func(string) string {
			return mint(key, did, h.a.ServiceDID, "com.example.other", time.Minute)
		}),
		service("BadJwtIss", func(nsid string) string {
			return mint(key, alice.did+"#other", h.a.ServiceDID, nsid, time.Minute)
		}),
		service("BadJwtSignature", func(nsid string) string {
			return mint(signer{stranger}, alice.did, h.a.ServiceDID, nsid, time.Minute)
		}),
		service("forged moderation", func(nsid string) string { // the account of the second tenant is the moderation service
			return mint(signer{stranger}, did, h.a.ServiceDID, nsid, time.Minute)
		}),
	}
}

// signer is a key that is nobody's here.
type signer struct{ key atcrypto.PrivateKey }

func (s signer) Sign(msg []byte) ([]byte, error) { return s.key.HashAndSign(msg) }
