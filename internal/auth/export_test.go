package auth

import (
	"testing"

	"github.com/auroralocus/locus/internal/tenant"
)

// Sign makes a token with the tenant's own key, whatever it says.
func (s *Sessions) Sign(t testing.TB, x *tenant.Tenant, head, body string) string {
	t.Helper()
	secrets, err := s.Secrets(t.Context(), x)
	if err != nil {
		t.Fatal(err)
	}
	return appendJWS(b64.EncodeToString([]byte(head)), []byte(body), secrets.jwt.Sign)
}
