package console

import (
	"html"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/mail/outbox"
)

// TestOffers goes through all pages as each role, and follows what they offer: no link and no form leads to where that role
// may not go.
func TestOffers(t *testing.T) {
	h := newTenantHouse(t, outbox.Config{})
	own := h.tenant("own.test")
	h.tenant("other.test")
	h.runJobs()
	did := h.person(own, "alice")
	h.note(own, did, "com.example.note/one")
	at := tenantPath(own.Hostname)
	who := map[string]*browser{}
	for _, role := range auth.DeploymentRoles {
		if role == auth.DeploymentTenant {
			who["one tenant's token"] = h.deployment(role, own)
		} else {
			who["deployment "+role.String()] = h.deployment(role, nil)
		}
	}
	for r := auth.RoleSupport; r <= auth.RoleOwner; r++ {
		who["tenant's "+r.String()] = h.operatorOf(own, r)
	}
	owner := who["deployment owner"]
	owner.ends(owner.post(at+"/backups", "blobs", "include", "unencrypted", "on").is(303).header.Get("Location"))
	owner.post(at+"/invites", "count", "2", "uses", "1", "for", did).leads(at + "/invites")
	owner.post(at+"/takedowns", "subject", "at://"+did+"/com.example.note/one", "do", "takedown", "ref", "report 9").leads(at + "/takedowns")

	offered := regexp.MustCompile(`(action|formaction|href)="(/admin[^"]*)"`)
	for name, b := range who {
		seen, forms := map[string]bool{}, 0
		todo := []string{Root + "/own", at, Root + "/"}
		for len(todo) > 0 {
			path := todo[0]
			todo = todo[1:]
			if seen[path] {
				continue
			}
			seen[path] = true
			a := b.get(path)
			if a.status == 303 {
				todo = append(todo, a.header.Get("Location"))
				continue
			}
			if a.status >= 500 || strings.Contains(a.body, "You may not do this") && path != Root+"/own" && path != at {
				t.Errorf("%s at %s: %d", name, path, a.status)
			}
			for _, m := range offered.FindAllStringSubmatch(a.body, -1) {
				verb, to := "POST", html.UnescapeString(m[2])
				u, err := url.Parse(to)
				must(t, err)
				if m[1] == "href" || strings.Contains(a.body, `method="get" action="`+m[2]+`"`) {
					verb = "GET"
				}
				_, pattern := h.pages.mux.Handler(httptest.NewRequest(verb, u.Path, nil))
				i := slices.IndexFunc(h.pages.pages, func(p *page) bool { return p.verb+" "+p.path == pattern })
				if i < 0 {
					if !strings.HasPrefix(u.Path, assetPath) {
						t.Errorf("%s: %s offers %s %s, which is nothing (%s)", name, path, verb, to, pattern)
					}
					continue
				}
				p := h.pages.pages[i]
				if !p.class.open && !slices.Contains(strings.Split(p.class.who(), ", "), name) {
					t.Errorf("%s is offered %s %s at %s", name, verb, to, path)
				}
				if verb == "POST" {
					forms++
				} else {
					todo = append(todo, to)
				}
			}
			if len(seen) > 300 {
				t.Fatalf("%s: more than 300 pages", name)
			}
		}
		t.Logf("%s: %d pages, %d forms", name, len(seen), forms)
	}
}
