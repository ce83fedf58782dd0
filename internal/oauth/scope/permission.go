package scope

import (
	"slices"
	"strings"

	"github.com/auroralocus/locus/internal/syntax"
)

// Actions are what may be done with records.
type Actions uint8

// The actions of repo scopes.
const (
	Create Actions = 1 << iota
	Update
	Delete

	allActions = Create | Update | Delete
)

var actionNames = []struct {
	name string
	bit  Actions
}{{"create", Create}, {"delete", Delete}, {"update", Update}} // in the order of the canonical form

// permission is one scope that opens something by itself.
type permission interface {
	covers(Need) bool
	String() string
}

// repo: records of collections.
type repo struct {
	collections []string // sorted; "*" alone: all
	actions     Actions
}

// rpc: calls of other services.
type rpc struct {
	methods []string // sorted; "*" alone: all
	aud     string   // did#fragment or "*"
}

// blob: files of types.
type blob struct{ accept []string } // lower case, sorted; "*/*" alone: all

// accountScope: a part of the account.
type accountScope struct {
	attr   string
	manage bool
	both   bool // read was asked for by name beside manage: it changes nothing but the text
}

// identityScope: the handle, or all of the identity.
type identityScope struct{ attr string }

// Include asks for what a permission set lists.
type Include struct {
	NSID string
	Aud  string // did#fragment that entries may inherit; ""
}

func (i Include) String() string {
	params := []param{{"nsid", i.NSID}}
	if i.Aud != "" {
		params = append(params, param{"aud", i.Aud})
	}
	return written("include", params...)
}

func isNSID(s string) bool      { return syntax.NSID.Is(s) }
func isNSIDOrAll(s string) bool { return s == "*" || isNSID(s) }

// isAudience says whether s is a DID with the name of one of its services. A bare DID is none.
func isAudience(s string) bool {
	did, fragment, ok := strings.Cut(s, "#")
	if !ok || fragment == "" || len(s) > 2048 {
		return false
	}
	for i := range len(fragment) {
		c := fragment[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~:@!$&'()*+,;=/?%", c) >= 0) {
			return false
		}
	}
	if !syntax.DID.Is(did) {
		return false
	}
	web, isWeb := strings.CutPrefix(did, "did:web:")
	return strings.HasPrefix(did, "did:plc:") && len(did) == len("did:plc:")+24 || isWeb && !strings.Contains(web, ":")
}

// isAccept says whether s names a MIME type, or all types of a kind.
func isAccept(s string) bool {
	kind, sub, ok := strings.Cut(s, "/")
	switch {
	case !ok || kind == "" || sub == "" || strings.ContainsAny(sub, "/") || strings.ContainsAny(s, " \t;,"):
		return false
	case s == "*/*":
		return true
	}
	return !strings.Contains(kind, "*") && (sub == "*" || !strings.Contains(sub, "*"))
}

// parse is the permission that a scope is; nil for one that is none, or broken.
func parse(text string) permission {
	s, ok := scan(text)
	if !ok {
		return nil
	}
	switch s.name {
	case "repo":
		return asPermission(parseRepo(&s))
	case "rpc":
		return asPermission(parseRPC(&s))
	case "blob":
		return asPermission(parseBlob(&s))
	case "account":
		return asPermission(parseAccount(&s))
	case "identity":
		return asPermission(parseIdentity(&s))
	}
	return nil
}

func asPermission[P permission](p P, ok bool) permission {
	if !ok {
		return nil
	}
	return p
}

// parseInclude is an include: scope.
func parseInclude(text string) (i Include, ok bool) {
	s, ok := scan(text)
	if !ok || s.name != "include" || !s.only("nsid", "aud") {
		return i, false
	}
	if i.NSID, ok = s.one("nsid", true, isNSID); !ok || i.NSID == "" {
		return i, false
	}
	i.Aud, ok = s.one("aud", false, isAudience)
	return i, ok
}

func parseRepo(s *parts) (repo, bool) {
	if !s.only("collection", "action") {
		return repo{}, false
	}
	collections, ok := s.all("collection", true, isNSIDOrAll)
	if !ok || len(collections) == 0 {
		return repo{}, false
	}
	actions, ok := s.all("action", false, isAction)
	if !ok {
		return repo{}, false
	}
	return newRepo(collections, actions), true
}

func newRepo(collections, actions []string) repo {
	r := repo{collections: allOrSorted(collections)}
	for _, a := range actionNames {
		if len(actions) == 0 || slices.Contains(actions, a.name) {
			r.actions |= a.bit
		}
	}
	return r
}

func isAction(s string) bool { return s == "create" || s == "update" || s == "delete" }

func parseRPC(s *parts) (rpc, bool) {
	if !s.only("lxm", "aud") {
		return rpc{}, false
	}
	methods, ok := s.all("lxm", true, isNSIDOrAll)
	if !ok || len(methods) == 0 {
		return rpc{}, false
	}
	aud, ok := s.one("aud", false, func(v string) bool { return v == "*" || isAudience(v) })
	if !ok || aud == "" {
		return rpc{}, false
	}
	return newRPC(methods, aud)
}

// newRPC refuses what would open every method everywhere.
func newRPC(methods []string, aud string) (rpc, bool) {
	r := rpc{methods: allOrSorted(methods), aud: aud}
	return r, aud != "*" || r.methods[0] != "*"
}

func parseBlob(s *parts) (blob, bool) {
	if !s.only("accept") {
		return blob{}, false
	}
	accept, ok := s.all("accept", true, isAccept)
	if !ok || len(accept) == 0 {
		return blob{}, false
	}
	return newBlob(accept), true
}

func newBlob(accept []string) blob {
	for i := range accept {
		accept[i] = strings.ToLower(accept[i])
	}
	if slices.Contains(accept, "*/*") {
		return blob{[]string{"*/*"}}
	}
	var out []string
	for _, a := range accept {
		kind, sub, _ := strings.Cut(a, "/")
		if sub == "*" || !slices.Contains(accept, kind+"/*") {
			out = append(out, a)
		}
	}
	slices.Sort(out)
	return blob{slices.Compact(out)}
}

func parseAccount(s *parts) (accountScope, bool) {
	if !s.only("attr", "action") {
		return accountScope{}, false
	}
	attr, ok := s.one("attr", true, func(v string) bool { return v == "email" || v == "repo" || v == "status" })
	if !ok || attr == "" {
		return accountScope{}, false
	}
	actions, ok := s.all("action", false, func(v string) bool { return v == "read" || v == "manage" })
	if !ok {
		return accountScope{}, false
	}
	manage := slices.Contains(actions, "manage")
	return accountScope{attr, manage, manage && slices.Contains(actions, "read")}, true
}

func parseIdentity(s *parts) (identityScope, bool) {
	if !s.only("attr") {
		return identityScope{}, false
	}
	attr, ok := s.one("attr", true, func(v string) bool { return v == "handle" || v == "*" })
	return identityScope{attr}, ok && attr != ""
}

// allOrSorted is the list without repeats, or only "*" when that is in it.
func allOrSorted(list []string) []string {
	if slices.Contains(list, "*") {
		return []string{"*"}
	}
	out := slices.Clone(list)
	slices.Sort(out)
	return slices.Compact(out)
}

func (r repo) String() string {
	var params []param
	for _, c := range r.collections {
		params = append(params, param{"collection", c})
	}
	if r.actions != allActions {
		for _, a := range actionNames {
			if r.actions&a.bit != 0 {
				params = append(params, param{"action", a.name})
			}
		}
	}
	return written("repo", params...)
}

func (r rpc) String() string {
	var params []param
	for _, m := range r.methods {
		params = append(params, param{"lxm", m})
	}
	return written("rpc", append(params, param{"aud", r.aud})...)
}

func (b blob) String() string {
	var params []param
	for _, a := range b.accept {
		params = append(params, param{"accept", a})
	}
	return written("blob", params...)
}

func (a accountScope) String() string {
	params := []param{{"attr", a.attr}}
	if a.manage {
		params = append(params, param{"action", "manage"})
	}
	if a.both {
		params = append(params, param{"action", "read"})
	}
	return written("account", params...)
}

func (i identityScope) String() string { return written("identity", param{"attr", i.attr}) }

func (r repo) covers(n Need) bool {
	return n.kind == needRepo && n.actions != 0 && r.actions&n.actions == n.actions && (r.collections[0] == "*" || slices.Contains(r.collections, n.name))
}

func (r rpc) covers(n Need) bool {
	return n.kind == needRPC && (r.aud == "*" || r.aud == n.aud) && (r.methods[0] == "*" || slices.Contains(r.methods, n.name))
}

func (b blob) covers(n Need) bool {
	if n.kind != needBlob || !isAccept(n.name) || strings.Contains(n.name, "*") {
		return false
	}
	kind, _, _ := strings.Cut(n.name, "/")
	return slices.ContainsFunc(b.accept, func(a string) bool { return a == "*/*" || a == n.name || a == kind+"/*" })
}

func (a accountScope) covers(n Need) bool {
	return n.kind == needAccount && a.attr == n.name && (a.manage || !n.manage)
}

func (i identityScope) covers(n Need) bool {
	return n.kind == needIdentity && (i.attr == "*" || i.attr == n.name)
}
