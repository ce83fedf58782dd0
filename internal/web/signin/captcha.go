package signin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/auroralocus/locus/internal/tenant"
	"github.com/auroralocus/locus/internal/web"
)

// captcha is a service that tells people from programs. Its box is a script of its own in the page, and leaves what it
// found in a field; the service says what that is worth.
type captcha struct {
	Script  string // of the box
	Class   string // of the element that the box fills
	SiteKey string

	answer  string   // the field
	verify  string   // where the answer is shown
	sources []string // what the box loads
}

// captchas are those that a tenant may choose.
// Their documentation: docs.hcaptcha.com, developers.cloudflare.com/turnstile.
var captchas = map[string]captcha{
	tenant.CaptchaHCaptcha: {
		Script: "https://js.hcaptcha.com/1/api.js", Class: "h-captcha", answer: "h-captcha-response",
		verify:  "https://api.hcaptcha.com/siteverify",
		sources: []string{"https://hcaptcha.com", "https://*.hcaptcha.com"},
	},
	tenant.CaptchaTurnstile: {
		Script: "https://challenges.cloudflare.com/turnstile/v0/api.js", Class: "cf-turnstile", answer: "cf-turnstile-response",
		verify:  "https://challenges.cloudflare.com/turnstile/v0/siteverify",
		sources: []string{"https://challenges.cloudflare.com"},
	},
}

const (
	captchaTime   = 8 * time.Second
	captchaAnswer = 8 << 10 // bytes that a box may leave
	captchaBody   = 64 << 10
)

var (
	errCaptcha     = errors.New("the answer to the captcha is not good")
	errCaptchaAway = errors.New("the captcha's service does not answer")
)

// captchaOf is what the tenant asks of who signs up; nil: nothing.
func captchaOf(t *tenant.Tenant) *captcha {
	c, ok := captchas[t.Settings.Captcha]
	if !ok {
		return nil
	}
	c.SiteKey = t.Settings.CaptchaSiteKey
	return &c
}

// allow lets the page load the box.
func (c *captcha) allow(v *web.Visit) {
	for _, directive := range []string{"script-src", "frame-src", "style-src", "connect-src"} {
		v.Allow(directive, c.sources...)
	}
	v.Embeds()
}

// human asks the service whether the box was answered by a person. Errors: [errCaptcha], [errCaptchaAway].
func (p *Pages) human(v *web.Visit, c *captcha, form web.Form) error {
	given := form.Get(c.answer)
	if given == "" || len(given) > captchaAnswer {
		return errCaptcha
	}
	secret, err := p.Acts.Tenants.CaptchaSecret(v.R.Context(), v.Tenant)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(v.R.Context(), captchaTime)
	defer cancel()
	asked := url.Values{"secret": {secret}, "response": {given}, "sitekey": {c.SiteKey}}
	if a := v.Caller.Addr(); a.IsValid() {
		asked.Set("remoteip", a.String())
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.verify, strings.NewReader(asked.Encode()))
	if err != nil {
		return fmt.Errorf("captcha: %w", err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	res, err := p.Captcha.Do(req)
	if err != nil {
		return fmt.Errorf("%w: %w", errCaptchaAway, err)
	}
	defer res.Body.Close()
	var said struct {
		Success  bool   `json:"success"`
		Hostname string `json:"hostname"`
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, captchaBody))
	if err != nil || res.StatusCode != http.StatusOK || json.Unmarshal(body, &said) != nil {
		return fmt.Errorf("%w: status %d", errCaptchaAway, res.StatusCode)
	}
	// An answer from a page of somebody else's is somebody else's.
	if !said.Success || said.Hostname != "" && said.Hostname != v.Tenant.Hostname {
		return errCaptcha
	}
	return nil
}
