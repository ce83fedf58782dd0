package admintest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/auroralocus/locus/internal/auth"
)

// TestWalk calls every operation as every role: those who may get any answer but a refusal of who they are, all others
// exactly that, before anything of their request is looked at. Who is for one tenant never learns of another.
func TestWalk(t *testing.T) {
	h := newHouse(t)
	own, other := h.tenant("own.test"), h.tenant("other.test")
	tokens := map[string]string{}
	for _, role := range auth.DeploymentRoles {
		if role != auth.DeploymentTenant {
			tokens[role.String()] = h.token(role, nil)
		}
	}
	tokens["tenant"] = h.token(auth.DeploymentTenant, own)
	seen := 0
	for _, line := range strings.Split(h.admin.Access(), "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		f := strings.Fields(line)
		path, verb, id := f[0], f[1], f[2]
		roles := afterClass(line[strings.Index(line, id)+len(id):])
		seen++
		ofTenant := strings.Contains(path, "{tenant}")
		hosts := []string{own.Hostname}
		if ofTenant {
			hosts = append(hosts, other.Hostname, "nowhere.test", fmt.Sprint(other.ID), "0")
		}
		for _, host := range hosts {
			at := strings.NewReplacer("{tenant}", host, "{job}", "0", "{token}", "0", "{node}", "none", "{name}", "none", "{backup}", "none").Replace(path)
			for role, token := range tokens {
				listed := strings.Contains(roles, role)
				may := listed && !(ofTenant && role == "tenant" && host != own.Hostname)
				// A body that nobody could mean: who may call is told so, the others are not even read.
				r := h.call(token, verb, at, `{"nonsense":1`)
				if refused := r.status == 403 || r.status == 401; refused == may {
					t.Errorf("%s as %s: %d %s", r.what, role, r.status, r.body)
				}
				if listed && !may && !strings.Contains(string(r.body), "not for this one") {
					t.Errorf("%s: %s", r.what, r.body)
				}
			}
			h.call("", verb, at, `{`).fails(401, "unauthenticated", "locusdep_")
			h.call("locusdep_guess", verb, at, nil, "X-Forwarded-For: "+fmt.Sprintf("192.0.2.%d", seen)).fails(401, "unauthenticated", "")
			h.ahead.Add(int64(10 * 60 * 1e9)) // so many bad tokens would be too many
		}
	}
	if seen < 15 {
		t.Errorf("%d operations", seen)
	}
}

// afterClass is the column of roles.
func afterClass(rest string) string {
	parts := strings.Split(strings.TrimSpace(rest), "  ")
	for _, p := range parts[1:] {
		if p = strings.TrimSpace(p); p != "" {
			return p
		}
	}
	return ""
}
