package account

import (
	"testing"
	"time"
)

// The test vectors of RFC 6238, appendix B, with SHA-1.
func TestTOTPVectors(t *testing.T) {
	secret := []byte("12345678901234567890")
	for at, want := range map[int64]string{
		59: "94287082", 1111111109: "07081804", 1111111111: "14050471", 1234567890: "89005924", 2000000000: "69279037", 20000000000: "65353130",
	} {
		if got := totp(secret, at/30, 8); got != want {
			t.Errorf("at %d: %s, want %s", at, got, want)
		}
	}
	now := time.Unix(1234567890, 0)
	for d, want := range map[time.Duration]bool{0: true, 30 * time.Second: true, -30 * time.Second: true, time.Minute: false, -time.Minute: false} {
		code := totp(secret, now.Add(d).Unix()/30, 6)
		if _, ok := MatchTOTP(secret, now, code); ok != want {
			t.Errorf("%s away: %v", d, ok)
		}
	}
}
