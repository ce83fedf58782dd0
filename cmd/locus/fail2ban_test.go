package main

import (
	"bytes"
	"log/slog"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/tenant"
)

const fail2banFilter = "../../deploy/fail2ban/filter.d/locus.conf"

// option is an option of a fail2ban file, a line for each of its values.
func option(t *testing.T, name string) []string {
	t.Helper()
	text, err := os.ReadFile(fail2banFilter)
	must(t, err)
	found := regexp.MustCompile(`(?m)^` + name + ` = (.+(?:\n[ \t]+.+)*)`).FindStringSubmatch(string(text))
	if found == nil {
		t.Fatalf("there is no %s", name)
	}
	lines := strings.Split(found[1], "\n")
	for i := range lines {
		lines[i] = strings.ReplaceAll(strings.TrimSpace(lines[i]), "%%", "%")
	}
	return lines
}

// matches does what fail2ban does with a line: it takes the date away, and holds the rest against the expressions.
func matches(t *testing.T, line string) string {
	t.Helper()
	dates := strings.NewReplacer("%Y", `\d{4}`, "%m", `\d\d`, "%d", `\d\d`, "%H", `\d\d`, "%M", `\d\d`, "%S", `\d\d`, "%z", `(?:Z|[+-]\d\d:?\d\d)`)
	for _, date := range option(t, "datepattern") {
		at := regexp.MustCompile(dates.Replace(date)).FindStringIndex(line)
		if at == nil {
			continue
		}
		for _, fails := range option(t, "failregex") {
			found := regexp.MustCompile(strings.ReplaceAll(fails, "<SUBNET>", `([0-9a-fA-F:.]+(?:/\d+)?)`)).FindStringSubmatch(line[at[1]:])
			if found != nil {
				return found[1]
			}
		}
	}
	return ""
}

// TestFail2ban: the filter finds the addresses of failed sign-ins as the log writes them, and nothing that a stranger
// writes into the log. fail2ban's own program says the same, where there is one.
func TestFail2ban(t *testing.T) {
	var all strings.Builder
	for format, handler := range map[string]func(*bytes.Buffer) slog.Handler{
		"text": func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) },
		"json": func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
	} {
		var text bytes.Buffer
		log := slog.New(newCalm(handler(&text), func(time.Duration, func()) {}))
		failed := func(address, tenant string) {
			log.LogAttrs(t.Context(), slog.LevelWarn, act.FailedSignin, slog.String("address", address), slog.String("tenant", tenant), slog.String("wrong", "password"))
		}
		failed("192.0.2.1", "pds.example.com")
		failed("2001:db8:1:2::/64", "pds.example.com")
		failed("192.0.2.9", "") // an operator of the deployment
		act.New(act.Parts{Log: log, Now: time.Now}).FailedTenantOperator(t.Context(), &tenant.Tenant{Hostname: "pds.example.com"}, "192.0.2.10")
		access, err := newAccessLog(log, "all")
		must(t, err)
		for _, path := range []string{
			`/x level=WARN msg="failed sign-in" address=192.0.2.66 tenant=a wrong=b`,
			`/x","level":"WARN","msg":"failed sign-in","address":"192.0.2.66","tenant":"a","wrong":"b"`,
			"/x\ntime=2026-01-01T00:00:00Z level=WARN msg=\"failed sign-in\" address=192.0.2.66 tenant=a wrong=b",
		} {
			a := answered("/", 404)
			a.Request = httptest.NewRequest("GET", "/", nil)
			a.Request.URL.Path = path
			access.note(a)
		}
		var found []string
		for line := range strings.Lines(text.String()) {
			if address := matches(t, line); address != "" {
				found = append(found, address)
			}
		}
		if got := strings.Join(found, " "); got != "192.0.2.1 2001:db8:1:2::/64 192.0.2.9 192.0.2.10" {
			t.Errorf("%s: %s in\n%s", format, got, text.String())
		}
		all.WriteString(text.String())
	}
	program, err := exec.LookPath("fail2ban-regex")
	if err != nil {
		return // what was said above is what it does
	}
	file := filepath.Join(t.TempDir(), "log")
	must(t, os.WriteFile(file, []byte(all.String()), 0o600))
	filter, err := filepath.Abs(fail2banFilter)
	must(t, err)
	out, err := exec.Command(program, file, filter).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "Failregex: 8 total") {
		t.Errorf("%v\n%s", err, out)
	}
}
