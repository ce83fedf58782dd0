package scope

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestCanonical: each scope has one text, and what is broken is left out.
func TestCanonical(t *testing.T) {
	for in, want := range map[string]string{
		"repo:com.example.foo": "repo:com.example.foo",
		"repo:*":               "repo:*",
		"repo?collection=*&collection=com.example.foo&action=update":     "repo:*?action=update",
		"repo?collection=com.example.b&collection=com.example.a":         "repo?collection=com.example.a&collection=com.example.b",
		"repo:com.example.foo?action=create&action=update&action=delete": "repo:com.example.foo",
		"repo:com.example.foo?action=update&action=create&action=update": "repo:com.example.foo?action=create&action=update",
		"repo?collection=com.example.foo":                                "repo:com.example.foo",
		"repo:com%2Eexample.foo":                                         "repo:com.example.foo",
		"rpc:com.example.m?aud=did:web:example.com#svc":                  "rpc:com.example.m?aud=did:web:example.com%23svc",
		"rpc:com.example.m?aud=did%3Aweb%3Aexample.com%23svc":            "rpc:com.example.m?aud=did:web:example.com%23svc",
		"rpc:com.example.m?aud=*":                                        "rpc:com.example.m?aud=*",
		"rpc:*?aud=did:plc:ewvi7nxzyoun6zhxrhs64oiz#a":                   "rpc:*?aud=did:plc:ewvi7nxzyoun6zhxrhs64oiz%23a",
		"rpc?lxm=com.example.b&lxm=com.example.a&aud=*":                  "rpc?lxm=com.example.a&lxm=com.example.b&aud=*",
		"blob:*/*":                                           "blob:*/*",
		"blob:image/PNG":                                     "blob:image/png",
		"blob?accept=image/png&accept=image/*":               "blob:image/*",
		"blob?accept=video/*&accept=image/png":               "blob?accept=image/png&accept=video/*",
		"blob?accept=image/png&accept=*/*":                   "blob:*/*",
		"blob:image/svg+xml":                                 "blob:image/svg+xml",
		"account:email":                                      "account:email",
		"account:email?action=read":                          "account:email",
		"account?attr=repo&action=manage":                    "account:repo?action=manage",
		"account:status?action=manage&action=read":           "account:status?action=manage&action=read",
		"identity:handle":                                    "identity:handle",
		"identity:*":                                         "identity:*",
		"include:com.example.auth":                           "include:com.example.auth",
		"include:com.example.auth?aud=did:web:a.example%23b": "include:com.example.auth?aud=did:web:a.example%23b",
		"include:com.example.auth?aud=did:web:a.example#b":   "include:com.example.auth?aud=did:web:a.example%23b",
		"atproto": "atproto", "transition:generic": "transition:generic", "transition:email": "transition:email", "transition:chat.bsky": "transition:chat.bsky",

		"": "", "openid": "", "repo": "", "rpc": "", "blob": "", "account": "", "identity": "", "include": "", "atproto:x": "", "transition:all": "",
		"repo:": "", "repo:com.example.*": "", "repo:foo": "", "repo:com.example.foo?action=*": "", "repo:com.example.foo?action=": "",
		"repo:com.example.foo?collection=com.example.bar": "", "repo:com.example.foo?x=y": "", "repo:com.example.foo?Action=create": "", "REPO:com.example.foo": "",
		"repo:%zz": "", "repo:com.example.foo?action=%zz": "",
		"rpc:com.example.m": "", "rpc:com.example.m?aud=did:web:example.com": "", "rpc:com.example.m?aud=did:web:example.com&lxm=com.example.n": "",
		"rpc:*?aud=*": "", "rpc?lxm=*&lxm=com.example.m&aud=*": "", "rpc:com.example.*?aud=*": "", "rpc:com.example.m?aud=*&aud=*": "",
		"rpc:com.example.m?aud=did:web:example.com#": "", "rpc:com.example.m?aud=did:key:zabc#x": "", "rpc:com.example.m?aud=did:web:example.com:a#x": "",
		"rpc:com.example.m?aud=did:plc:short#x": "", "rpc:com.example.m?aud=nonsense": "",
		"blob:*/png": "", "blob:image": "", "blob:image/": "", "blob:/png": "", "blob:image/png/x": "", "blob:im*/png": "", "blob:image/p*": "", "blob?accept=image/svg+xml": "",
		"account:email?action=write": "", "account:birthday": "", "account:email?attr=email": "", "account?attr=email&attr=repo": "",
		"identity:email": "", "identity:handle?attr=handle": "", "identity?attr=*&attr=handle": "",
		"include:foo": "", "include:com.example.auth?aud=did:web:a.example": "", "include:com.example.auth?aud=*": "", "include:*": "", "include:com.example.auth?x=1": "",
	} {
		if got := Parse(in).String(); got != want {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
		if again := Parse(want).String(); again != want {
			t.Errorf("%s becomes %q", want, again)
		}
	}
	if got := Parse("atproto  repo:com.example.a nonsense repo?collection=com.example.a blob:*/*").String(); got != "atproto repo:com.example.a blob:*/*" {
		t.Error(got)
	}
}

const svc = "did:web:api.example.com#svc"

// TestCovers: what each scope opens, and that it opens nothing beside it.
func TestCovers(t *testing.T) {
	needs := map[string]Need{
		"create": Repo("com.example.a", Create), "update": Repo("com.example.a", Update), "delete": Repo("com.example.a", Delete),
		"put": Repo("com.example.a", Create|Update), "create b": Repo("com.example.b", Create),
		"call": RPC("com.example.m", svc), "call there": RPC("com.example.m", "did:web:api.example.com#other"), "call bare": RPC("com.example.m", "did:web:api.example.com"),
		"call all": RPC("*", svc), "chat": RPC("chat.bsky.convo.getLog", svc),
		"png": Blob("image/png"), "PNG with more": Blob("Image/PNG; charset=x"), "text": Blob("text/plain"), "no type": Blob(""), "wild": Blob("*/*"),
		"mail": Account("email", false), "mail change": Account("email", true), "repo": Account("repo", true), "status": Account("status", true),
		"handle": Identity("handle"), "plc": Identity("*"), "any": Any(), "nothing": {},
	}
	for in, want := range map[string]string{
		"":                             "",
		"repo:com.example.a":           "", // without atproto nothing
		"atproto":                      "any",
		"atproto repo:com.example.a":   "any, create, delete, put, update",
		"atproto repo:*":               "any, create, create b, delete, put, update",
		"atproto repo:*?action=create": "any, create, create b",
		"atproto repo:com.example.a?action=create repo:com.example.a?action=update": "any, create, update", // a put needs one that opens both
		"atproto rpc:com.example.m?aud=" + svc:                                      "any, call",
		"atproto rpc:com.example.m?aud=*":                                           "any, call, call bare, call there",
		"atproto rpc:*?aud=" + svc:                                                  "any, call, call all, chat",
		"atproto blob:image/*":                                                      "PNG with more, any, png",
		"atproto blob:*/*":                                                          "PNG with more, any, png, text",
		"atproto account:email":                                                     "any, mail",
		"atproto account:email?action=manage":                                       "any, mail, mail change",
		"atproto account:repo?action=manage":                                        "any, repo",
		"atproto account:status":                                                    "any",
		"atproto identity:handle":                                                   "any, handle",
		"atproto identity:*":                                                        "any, handle, plc",
		"atproto transition:email":                                                  "any, mail",
		"atproto transition:generic":                                                "PNG with more, any, call, call all, call bare, call there, create, create b, delete, no type, png, put, text, update, wild",
		"atproto transition:chat.bsky":                                              "any",
		"atproto transition:generic transition:chat.bsky":                           "PNG with more, any, call, call all, call bare, call there, chat, create, create b, delete, no type, png, put, text, update, wild",
		"atproto include:com.example.auth":                                          "any",
	} {
		var got []string
		for name, n := range needs {
			if Parse(in).Covers(n) {
				got = append(got, name)
			}
		}
		slices.Sort(got)
		if s := strings.Join(got, ", "); s != want {
			t.Errorf("%s opens %s; want %s", in, s, want)
		}
	}
}

// TestNeedIsItsOwnScope: who is granted the scope that a refusal names is refused no more.
func TestNeedIsItsOwnScope(t *testing.T) {
	for _, n := range []Need{
		Any(), Repo("com.example.a", Create|Update), Repo("com.example.a", Delete), RPC("com.example.m", svc), RPC("*", svc), Blob("image/svg+xml"), Blob("a/b;c=d"),
		Account("email", false), Account("repo", true), Identity("handle"), Identity("*"),
	} {
		if s := Parse("atproto " + n.String()); !s.Covers(n) {
			t.Errorf("%s does not cover its own need", n)
		}
		if Parse("atproto").Covers(n) != (n == Any()) {
			t.Errorf("%s is covered by nothing", n)
		}
	}
}

func TestPermissionSet(t *testing.T) {
	set, err := ParsePermissionSet([]byte(`{"lexicon":1,"id":"com.example.calendar.auth","defs":{"main":{"type":"permission-set","title":"Calendar","title:lang":{"de":"Kalender"},"detail":"All of it","permissions":[
		{"type":"permission","resource":"repo","collection":["com.example.calendar.event"]},
		{"type":"permission","resource":"repo","collection":["com.example.other.x"]},
		{"type":"permission","resource":"repo","collection":["com.example.calendar.a","com.example.other.x"]},
		{"type":"permission","resource":"repo","collection":["*"]},
		{"type":"permission","resource":"repo","collection":["com.example.calendar.rsvp"],"action":["create","delete"]},
		{"type":"permission","resource":"repo","collection":["com.example.calendar.rsvp"],"action":["burn"]},
		{"type":"permission","resource":"repo","collection":["com.example.calendar.rsvp"],"why":["x"]},
		{"type":"permission","resource":"rpc","lxm":["com.example.calendar.list"],"inheritAud":true},
		{"type":"permission","resource":"rpc","lxm":["com.example.calendar.all"],"aud":"*"},
		{"type":"permission","resource":"rpc","lxm":["com.example.calendar.there"],"aud":"did:web:x.example#y"},
		{"type":"permission","resource":"rpc","lxm":["com.example.calendar.both"],"aud":"*","inheritAud":true},
		{"type":"permission","resource":"rpc","lxm":["*"],"inheritAud":true},
		{"type":"permission","resource":"rpc","lxm":["com.example.calendar.nowhere"]},
		{"type":"permission","resource":"blob","accept":["*/*"]},
		{"type":"permission","resource":"account","attr":["email"]},
		{"type":"permission","resource":"repo","collection":[]},
		{"type":"other","resource":"repo","collection":["com.example.calendar.event"]}
	]}}}`))
	if err != nil || set.Title["de"] != "Kalender" || set.Title[""] != "Calendar" || set.Detail[""] != "All of it" {
		t.Fatal(set, err)
	}
	of := func(i Include) []Entry {
		if i.NSID != set.NSID {
			return nil
		}
		return set.Entries
	}
	for in, want := range map[string]string{
		"atproto include:com.example.calendar.auth":            "atproto repo:com.example.calendar.event repo:com.example.calendar.rsvp?action=create&action=delete rpc:com.example.calendar.all?aud=*",
		"atproto include:com.example.calendar.auth?aud=" + svc: "atproto repo:com.example.calendar.event repo:com.example.calendar.rsvp?action=create&action=delete rpc:com.example.calendar.list?aud=did:web:api.example.com%23svc rpc:com.example.calendar.all?aud=*",
		"atproto include:com.example.unknown.auth blob:*/*":    "atproto blob:*/*",
	} {
		if got := Parse(in).Expand(of).String(); got != want {
			t.Errorf("%s:\n%s, want\n%s", in, got, want)
		}
	}
	for _, bad := range []string{"", "{}", "[]", `{"id":"com.example.a","defs":{"main":{"type":"record"}}}`, `{"id":"x","defs":{"main":{"type":"permission-set"}}}`, `{"id":"com.example.a","defs":{"main":{"type":"permission-set","permissions":5}}}`, strings.Repeat(" ", MaxSetBytes+1)} {
		if s, err := ParsePermissionSet([]byte(bad)); err == nil {
			t.Errorf("%.50s: %v", bad, s)
		}
	}
}

func TestGroups(t *testing.T) {
	s := Parse("atproto transition:generic transition:chat.bsky repo:com.example.a?action=create repo:com.example.b rpc:com.example.m?aud=* blob:image/* account:email account:repo?action=manage identity:* include:com.example.auth")
	var ids []string
	for _, g := range s.Groups(nil) {
		ids = append(ids, g.ID)
	}
	if got := strings.Join(ids, " "); got != "basic generic chat set:include:com.example.auth records files calls mail account identity" {
		t.Error(got)
	}
	for _, c := range []struct{ keep, want string }{
		{"", "atproto"},
		{"chat", "atproto"},
		{"generic", "atproto transition:generic"},
		{"generic chat records", "atproto transition:generic transition:chat.bsky repo:com.example.a?action=create repo:com.example.b"},
		{"set:include:com.example.auth files nonsense", "atproto blob:image/* include:com.example.auth"},
	} {
		if got := s.Keep(strings.Fields(c.keep)).String(); got != c.want {
			t.Errorf("%s: %s", c.keep, got)
		}
	}
	g := s.Groups(nil)
	if len(g[4].Records) != 2 || g[4].Records[0].Actions != Create || g[4].Strong || !g[1].Strong || !g[9].Strong || !g[0].Fixed || g[1].Fixed {
		t.Errorf("%+v", g)
	}
	if !Parse("atproto repo:*").Groups(nil)[1].Strong {
		t.Error("repo:* is no warning")
	}
}

func TestUndeclaredAndWellFormed(t *testing.T) {
	if got := Undeclared("atproto repo:com.example.a", "atproto repo:com.example.a blob:*/*"); got != "" {
		t.Error(got)
	}
	if got := Undeclared("atproto repo:com.example.a?action=create", "atproto repo:com.example.a"); got != "repo:com.example.a?action=create" {
		t.Error(got)
	}
	for in, want := range map[string]bool{"atproto": true, "atproto x": true, "x": false, "": false, "atproto atproto": false, "atproto  x": false, " atproto": false, "atproto \"": false, "atproto é": false, "atproto\tx": false} {
		if WellFormed(in) != want {
			t.Errorf("%q", in)
		}
	}
}

// TestKeepIsNeverMore: what is kept of a set opens nothing that the set does not open, and its text means the same.
func TestKeepIsNeverMore(t *testing.T) {
	words := []string{"atproto", Generic, Chat, Mail, "repo:*", "repo:com.example.a", "repo:com.example.b?action=delete", "rpc:com.example.m?aud=*", "rpc:*?aud=" + svc, "blob:image/*", "account:email?action=manage", "identity:*", "include:com.example.auth", "nonsense"}
	needs := []Need{Any(), Repo("com.example.a", Create), Repo("com.example.b", Delete), RPC("com.example.m", svc), RPC("chat.bsky.x.y", svc), Blob("image/png"), Account("email", true), Identity("handle")}
	rapid.Check(t, func(t *rapid.T) {
		s := Parse(strings.Join(rapid.SliceOf(rapid.SampledFrom(words)).Draw(t, "scopes"), " "))
		var ids []string
		for _, g := range s.Groups(nil) {
			ids = append(ids, g.ID)
		}
		if s.Has(Atproto) && s.Has(Generic) && s.Keep(ids).String() != s.String() {
			t.Fatalf("%s: all groups are %s", s, s.Keep(ids))
		}
		kept := s
		if len(ids) > 0 {
			kept = s.Keep(rapid.SliceOf(rapid.SampledFrom(ids)).Draw(t, "kept"))
		}
		again := Parse(kept.String())
		for _, n := range needs {
			if kept.Covers(n) && !s.Covers(n) || kept.Covers(n) != again.Covers(n) || kept.Both(s).Covers(n) != kept.Covers(n) {
				t.Fatalf("%s of %s: %s", kept, s, n)
			}
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"atproto repo:*?action=create", "rpc:a.b.c?aud=did:web:x.y%23z", "blob?accept=a/b&accept=a/*", "include:a.b.c?aud=did:web:x.y#z", "repo:%41.b.c", "account?attr=email&action=manage"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		once := Parse(text)
		if twice := Parse(once.String()); twice.String() != once.String() {
			t.Errorf("%q becomes %q becomes %q", text, once, twice)
		}
		once.Groups(nil)
	})
}

func FuzzPermissionSet(f *testing.F) {
	f.Add([]byte(`{"id":"com.example.auth","defs":{"main":{"type":"permission-set","permissions":[{"resource":"repo","collection":["com.example.a"]}]}}}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		set, err := ParsePermissionSet(doc)
		if err != nil {
			return
		}
		i := Include{NSID: set.NSID}
		for _, p := range i.permissions(set.Entries) {
			if q := parse(p.String()); q == nil || q.String() != p.String() {
				t.Errorf("%s is no scope", p)
			}
		}
	})
}
