package act

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/auroralocus/locus/internal/tenant"
)

// ErrSlip: the slip is not ours, is of another browser or for something else, or its time is over.
var ErrSlip = errors.New("the slip is not good, or not any more")

// slip is what a browser keeps for us between two pages. It is signed, not sealed: what stands in it is no secret to the
// browser.
type slip struct {
	Until   time.Time       `json:"u"`
	Content json.RawMessage `json:"c"`
}

// WriteSlip signs what one browser is to bring back within life, for one purpose. Another tenant, another browser and
// another purpose know nothing of it.
func (a *Acts) WriteSlip(ctx context.Context, t *tenant.Tenant, purpose, browser string, life time.Duration, content any) (string, error) {
	secrets, err := a.Sessions.Secrets(ctx, t)
	if err != nil {
		return "", err
	}
	inner, err := json.Marshal(content)
	if err != nil {
		return "", fmt.Errorf("slip for %s: %w", purpose, err)
	}
	text, err := json.Marshal(slip{a.Now().Add(life), inner})
	if err != nil {
		return "", fmt.Errorf("slip for %s: %w", purpose, err)
	}
	enc := base64.RawURLEncoding
	return enc.EncodeToString(text) + "." + enc.EncodeToString(secrets.Typed().Sign(slipBytes(purpose, browser, text))), nil
}

// ReadSlip reads what [Acts.WriteSlip] wrote. Errors: [ErrSlip].
func (a *Acts) ReadSlip(ctx context.Context, t *tenant.Tenant, purpose, browser, given string, content any) error {
	secrets, err := a.Sessions.Secrets(ctx, t)
	if err != nil {
		return err
	}
	first, second, _ := strings.Cut(given, ".")
	text, err := base64.RawURLEncoding.DecodeString(first)
	if err != nil {
		return ErrSlip
	}
	tag, err := base64.RawURLEncoding.DecodeString(second)
	if err != nil || !secrets.Typed().Verify(slipBytes(purpose, browser, text), tag) {
		return ErrSlip
	}
	var s slip
	if json.Unmarshal(text, &s) != nil || !a.Now().Before(s.Until) || json.Unmarshal(s.Content, content) != nil {
		return ErrSlip
	}
	return nil
}

// slipBytes are what is signed: apart from all else that the key signs, and from other purposes and browsers.
func slipBytes(purpose, browser string, text []byte) []byte {
	return append([]byte("slip\x00"+purpose+"\x00"+browser+"\x00"), text...)
}
