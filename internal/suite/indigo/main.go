// Command indigo signs in with the OAuth client of bluesky-social/indigo, as suite's other drivers do with theirs. It is a module of its
// own, so that the server's has none of what the client needs.
package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/bluesky-social/indigo/atproto/atcrypto"
	"github.com/bluesky-social/indigo/atproto/auth/oauth"
	"github.com/bluesky-social/indigo/atproto/identity"
	"github.com/bluesky-social/indigo/atproto/syntax"
)

const (
	app        = "https://app.suite.alt"
	password   = "suite-password-1"
	collection = "com.example.suite.note"
)

var (
	failed bool
	client = &http.Client{Timeout: 20 * time.Second} // the usual one of the library refuses loopback
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	for tenant := range strings.FieldsSeq(os.Getenv("SUITE_TENANTS")) {
		for _, kind := range []string{"confidential", "public", "development"} {
			life(ctx, kind, tenant)
		}
	}
	if failed {
		os.Exit(1)
	}
}

func step(what string, err error) bool {
	if err != nil {
		failed = true
		fmt.Printf("FAIL %s -- %s\n", what, strings.ReplaceAll(err.Error(), "\n", " | "))
		return false
	}
	fmt.Println("ok   " + what)
	return true
}

// life is one sign-in from its beginning to its end.
func life(ctx context.Context, kind, tenant string) {
	host, _ := url.Parse(tenant)
	at := kind + " at " + host.Host + ": "
	who, err := signUp(ctx, tenant, host.Host)
	if err != nil {
		step(at+"an account", err)
		return
	}
	use, redirect, err := configure(ctx, kind)
	if err != nil {
		step(at+"a client", err)
		return
	}
	var session *oauth.ClientSession
	if !step(at+"sign in", func() error {
		to, err := use.StartAuthFlow(ctx, who.Handle)
		if err != nil {
			return err
		}
		back, err := person(ctx, to, who, redirect)
		if err != nil {
			return err
		}
		data, err := use.ProcessCallback(ctx, back.Query())
		if err != nil {
			return err
		}
		if data.AccountDID.String() != who.DID {
			return fmt.Errorf("signed in as %s, not %s", data.AccountDID, who.DID)
		}
		session, err = use.ResumeSession(ctx, data.AccountDID, data.SessionID)
		return err
	}()) {
		return
	}
	write := func(text string) error {
		body := map[string]any{"repo": who.DID, "collection": collection, "record": map[string]any{"$type": collection, "text": text}}
		var out struct{ URI string }
		return session.APIClient().Post(ctx, "com.atproto.repo.createRecord", body, &out)
	}
	step(at+"write", write("written"))
	step(at+"refresh", func() error {
		before, _ := session.GetHostAccessData()
		after, err := session.RefreshTokens(ctx)
		if err == nil && before == after {
			err = errors.New("the access token is the same")
		}
		if err == nil {
			err = write("after the refresh")
		}
		return err
	}())
	step(at+"revoke", func() error {
		if err := session.RevokeSession(ctx); err != nil {
			return err
		}
		if write("after the end") == nil {
			return errors.New("a write is still allowed")
		}
		if _, err := session.RefreshTokens(ctx); err == nil {
			return errors.New("a refresh is still allowed")
		}
		return nil
	}())
}

// configure makes a client and puts its documents where the server finds them.
func configure(ctx context.Context, kind string) (*oauth.ClientApp, string, error) {
	scopes := []string{"atproto", "repo:" + collection}
	redirect := app + "/callback"
	id := app + "/indigo-" + random() + ".json"
	var config oauth.ClientConfig
	if kind == "development" {
		redirect = "http://127.0.0.1:8913/callback"
		config = oauth.NewLocalhostConfig(redirect, scopes)
	} else {
		config = oauth.NewPublicConfig(id, redirect, scopes)
	}
	if kind == "confidential" {
		key, err := atcrypto.GeneratePrivateKeyP256()
		if err == nil {
			err = config.SetClientSecret(key, "suite-1")
		}
		if err != nil {
			return nil, "", err
		}
	}
	use := oauth.NewClientApp(&config, oauth.NewMemStore())
	use.Client, use.Resolver.Client = client, client
	use.Dir = &identity.BaseDirectory{PLCURL: "https://plc.directory", HTTPClient: *client, TryAuthoritativeDNS: false, SkipDNSDomainSuffixes: []string{".example.com", ".example.org"}}
	if kind == "development" {
		return use, redirect, nil
	}
	doc := use.Config.ClientMetadata()
	name := "Indigo, " + kind
	doc.ClientName = &name
	if kind == "confidential" {
		keys := strings.TrimSuffix(id, ".json") + "-jwks.json"
		doc.JWKSURI = &keys
		if err := put(ctx, keys, config.PublicJWKS()); err != nil {
			return nil, "", err
		}
	}
	return use, redirect, put(ctx, id, doc)
}

func put(ctx context.Context, at string, doc any) error {
	text, err := json.Marshal(doc)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPut, at, bytes.NewReader(text))
	if err != nil {
		return err
	}
	res, err := client.Do(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusNoContent {
		return fmt.Errorf("put %s: status %d", at, res.StatusCode)
	}
	return nil
}

type account struct{ DID, Handle string }

func signUp(ctx context.Context, tenant, host string) (a account, err error) {
	handle := "indigo" + random() + "." + host
	body, err := json.Marshal(map[string]string{"handle": handle, "email": strings.ReplaceAll(handle, ".", "-") + "@example.net", "password": password})
	if err != nil {
		return a, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, tenant+"/xrpc/com.atproto.server.createAccount", bytes.NewReader(body))
	if err != nil {
		return a, err
	}
	r.Header.Set("Content-Type", "application/json")
	res, err := client.Do(r)
	if err != nil {
		return a, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return a, fmt.Errorf("sign up: status %d", res.StatusCode)
	}
	err = json.NewDecoder(res.Body).Decode(&a)
	if err == nil {
		_, err = syntax.ParseDID(a.DID)
	}
	return a, err
}

// person has the pages gone through, and gives where they led.
func person(ctx context.Context, to string, who account, redirect string) (*url.URL, error) {
	cmd := exec.CommandContext(ctx, os.Getenv("SUITE_NODE"), "sign-in-here.mjs", to, who.Handle, who.DID, password, redirect)
	cmd.Dir = os.Getenv("SUITE_NODE_FOLDER")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go through the pages: %w", err)
	}
	return url.Parse(strings.TrimSpace(string(out)))
}

func random() string {
	b := make([]byte, 4)
	_, _ = rand.Read(b) // it never fails
	return hex.EncodeToString(b)
}
