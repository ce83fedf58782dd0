package agent_test

import (
	"strings"
	"testing"

	"github.com/auroralocus/locus/internal/agent"
)

func TestWords(t *testing.T) {
	for header, want := range map[string]string{
		"Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0":                                                                  "Firefox 143, Linux",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36":                         "Chrome 140, Windows",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36 Edg/140.0.1":             "Edge 140, Windows",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1": "Safari 18, iPhone",
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Safari/605.1.15":                   "Safari 18, macOS",
		"Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile Safari/537.36":                   "Chrome 140, Android",
		"Mozilla/5.0 (compatible; something)": "Mozilla/5.0 (compatible; something)",
		"python-requests/2.32 more":           "python-requests 2.32",
		"":                                    "",
		"a\nb\x00c\u202e":                     "abc",
	} {
		if got := agent.Words(header); got != want {
			t.Errorf("%q: %q", header, got)
		}
	}
	if got := agent.Words(strings.Repeat("ü", 5000)); len([]rune(got)) > 60 {
		t.Errorf("%d characters are kept", len([]rune(got)))
	}
	if a, b := agent.Family("Mozilla/5.0 (X11; Linux x86_64) Firefox/143.0"), agent.Family("Mozilla/5.0 (X11; Linux x86_64) Firefox/150.0"); a != b || a == "" {
		t.Errorf("%q is not %q", a, b)
	}
}
