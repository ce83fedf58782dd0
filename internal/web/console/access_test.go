package console

import (
	"flag"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/auroralocus/locus/internal/auth"
)

var update = flag.Bool("update", false, "write the golden files")

// TestAccess holds the policy on one page against the registrations.
func TestAccess(t *testing.T) {
	got := New(Config{Now: time.Now, Log: slog.New(slog.DiscardHandler)}).Access()
	const file = "testdata/access.txt"
	if *update {
		must(t, os.WriteFile(file, []byte(got), 0o644))
		return
	}
	want, err := os.ReadFile(file)
	must(t, err)
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s is not what the code gives: run 'make generate' and look at the difference\n%s", file, d)
	}
}

// TestWalk tries every page and every form as each role: those who may get any answer but a refusal of who they are, all
// others exactly that. Who is for one tenant sees nothing of another, not even whether there is one.
func TestWalk(t *testing.T) {
	h := newHouse(t)
	own, other := h.tenant("own.test"), h.tenant("other.test")
	who := map[string]*browser{}
	for _, role := range auth.DeploymentRoles {
		name := "deployment " + role.String()
		if role == auth.DeploymentTenant {
			who["one tenant's token"] = h.deployment(role, own)
			continue
		}
		who[name] = h.deployment(role, nil)
	}
	for r := auth.RoleSupport; r <= auth.RoleOwner; r++ {
		who["tenant's "+r.String()] = h.operatorOf(own, r)
	}
	stranger := h.browser()
	stranger.get(Root + "/sign-in").is(200)
	const refused = "You may not do this"
	for _, p := range h.pages.pages {
		if p.class.open || strings.HasSuffix(p.path, "/sign-out") {
			continue
		}
		hosts := []string{own.Hostname}
		if p.class.ofTenant {
			hosts = append(hosts, other.Hostname, "nowhere.test")
		}
		for _, host := range hosts {
			at := strings.NewReplacer("{tenant}", host, "{job}", "0", "{token}", "0", "{name}", "none", "{id}", "0").Replace(p.path)
			try := func(b *browser) answer {
				if p.verb == http.MethodPost {
					return b.post(at)
				}
				return b.get(at)
			}
			for name, b := range who {
				may := slices.Contains(strings.Split(p.class.who(), ", "), name)
				if host != own.Hostname && !strings.HasPrefix(name, "deployment") {
					may = false
				}
				if host != own.Hostname && name != "one tenant's token" && name != "tenant's owner" && name != "deployment owner" {
					continue // they are as these
				}
				a := try(b)
				if got := strings.Contains(a.body, refused); got == may {
					t.Errorf("%s as %s: %d, and it may: %t\n%.1500s", a.what, name, a.status, may, a.body)
				}
				if a.status >= 500 {
					t.Errorf("%s as %s: %d %.1500s", a.what, name, a.status, a.body)
				}
				if !may && strings.Contains(a.body, other.Hostname) {
					t.Errorf("%s as %s tells of %s", a.what, name, other.Hostname)
				}
			}
			if host != own.Hostname {
				continue
			}
			if a := try(stranger); a.status != http.StatusUnauthorized || !strings.Contains(a.body, "Sign in") {
				t.Errorf("%s as a stranger: %d", a.what, a.status)
			}
			if p.verb == http.MethodPost { // nothing is done by a form that came from elsewhere
				who["deployment owner"].post(at, "form-token", "guessed").is(403, "The page was too old")
			}
		}
	}
}
