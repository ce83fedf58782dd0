package handlers

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/auroralocus/locus/internal/xrpc"

	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/audit"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/tenant"
)

const ownAdmin = "org.auroralocus.admin."

// entries is the whole audit log.
func (h *house) entries(t *tenant.Tenant) []audit.Entry {
	h.t.Helper()
	all, _, err := audit.List(h.t.Context(), h.db.Tenant(t.Schema).Q(), audit.Filter{}, 10_000, roleName)
	if err != nil {
		h.t.Fatal(err)
	}
	return all
}

// operatorNamed makes an operator op-ROLE of a tenant, and gives its token's header.
func (h *house) operatorNamed(t *tenant.Tenant, role auth.Role) string {
	h.t.Helper()
	token := auth.NewOperatorToken()
	err := h.db.Tenant(t.Schema).Tx(h.t.Context(), func(q *tenantdb.Queries) error {
		if err := auth.InsertOperator(h.t.Context(), q, h.clock.Now(), "op-"+role.String(), role, "test"); err != nil {
			return err
		}
		return auth.InsertOperatorToken(h.t.Context(), q, h.clock.Now(), "op-"+role.String(), token, "", nil)
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return bearer(token.Secret)
}

// acts is every operator method that changes something: a body that does, and whom the log then names. A method that is
// in access.txt and not here fails the test.
var acts = map[string]func(u *user) (body obj, subject string){
	"com.atproto.admin.deleteAccount":         func(u *user) (obj, string) { return obj{"did": u.did}, u.did },
	"com.atproto.admin.disableAccountInvites": func(u *user) (obj, string) { return obj{"account": u.did}, u.did },
	"com.atproto.admin.disableInviteCodes":    func(u *user) (obj, string) { return obj{"codes": list{"x"}}, "" },
	"com.atproto.admin.enableAccountInvites":  func(u *user) (obj, string) { return obj{"account": u.did}, u.did },
	"com.atproto.admin.sendEmail": func(u *user) (obj, string) {
		return obj{"recipientDid": u.did, "senderDid": u.did, "content": "hello"}, u.did
	},
	"com.atproto.admin.updateAccountEmail": func(u *user) (obj, string) {
		return obj{"account": u.did, "email": u.email("changed")}, u.did
	},
	"com.atproto.admin.updateAccountHandle": func(u *user) (obj, string) {
		return obj{"did": u.did, "handle": "renamed-" + u.handle}, u.did
	},
	"com.atproto.admin.updateAccountPassword": func(u *user) (obj, string) {
		return obj{"did": u.did, "password": "another-secret"}, u.did
	},
	"com.atproto.admin.updateAccountSigningKey": func(u *user) (obj, string) {
		key := u.post(u.host, "com.atproto.server.reserveSigningKey", "", obj{"did": u.did}).ok().str("signingKey")
		return obj{"did": u.did, "signingKey": key}, u.did
	},
	"com.atproto.admin.updateSubjectStatus": func(u *user) (obj, string) {
		return obj{"subject": obj{"$type": "com.atproto.admin.defs#repoRef", "did": u.did}, "takedown": obj{"applied": true}}, u.did
	},
	"com.atproto.server.createInviteCode": func(u *user) (obj, string) {
		return obj{"useCount": 1, "forAccount": u.did}, u.did
	},
	"com.atproto.server.createInviteCodes": func(u *user) (obj, string) {
		return obj{"useCount": 1, "codeCount": 2, "forAccounts": list{u.did}}, u.did
	},
	"org.auroralocus.admin.setBlobLimit":    func(u *user) (obj, string) { return obj{"account": u.did, "bytes": 1000}, u.did },
	"org.auroralocus.admin.setRecordLimits": func(u *user) (obj, string) { return obj{"account": u.did, "count": 1000}, u.did },
}

// refusedBody makes a method's handler refuse, and is about subject.
func refusedBody(nsid string, u *user) (body obj, subject string) {
	nobody := "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa"
	switch nsid {
	case "com.atproto.admin.disableInviteCodes":
		return obj{"accounts": list{"admin"}}, "admin"
	case "com.atproto.server.createInviteCode":
		return obj{"useCount": 0, "forAccount": u.did}, u.did
	case "com.atproto.server.createInviteCodes":
		return obj{"useCount": 1, "codeCount": -1, "forAccounts": list{u.did}}, u.did
	case "com.atproto.admin.sendEmail":
		return obj{"recipientDid": nobody, "senderDid": nobody, "content": "hello"}, nobody
	}
	text, _ := json.Marshal(first(acts[nsid](u))) // cannot fail: it was made of texts
	var in obj
	_ = json.Unmarshal([]byte(strings.ReplaceAll(string(text), u.did, nobody)), &in)
	return in, nobody
}

func first(o obj, _ string) obj { return o }

// Every act of an operator writes one line: who, as what, what, on whom, from where and what came of it. Looking writes
// none, nor does who is nobody.
func TestEveryActIsLogged(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	table, err := os.ReadFile("testdata/access.txt")
	if err != nil {
		t.Fatal(err)
	}
	service := h.createAccount(hostB, "watcher")
	h.set(hostA, "mod_service_did", service.did)
	mint := h.serviceTokens(service)
	owner, support := h.operatorNamed(h.a, auth.RoleOwner), h.operatorNamed(h.a, auth.RoleSupport)
	kinds := []struct {
		who, role string
		header    func(nsid string) string
	}{
		{"admin", "owner", func(string) string { return asAdmin() }},
		{"op-owner", "owner", func(string) string { return owner }},
		{service.did, "moderator", func(nsid string) string { return mint(h.a.ServiceDID, nsid) }},
		{"op-support", "support", func(string) string { return support }},
		{"", "", func(string) string { return basic("admin", "wrong-password") }},
		{"", "", func(string) string { return "" }},
	}
	known := 0
	news := func() []audit.Entry {
		all := h.entries(h.a)
		fresh := all[known:]
		known = len(all)
		return fresh
	}
	methods, people := 0, 0
	for line := range strings.Lines(string(table)) {
		f := strings.Fields(line)
		if len(f) < 5 || f[2] != "operator" {
			continue
		}
		nsid, verb, need := f[0], f[1], slices.Index(roles, strings.TrimSuffix(f[4], ","))
		methods++
		known = len(h.entries(h.a))
		for _, k := range kinds {
			what := nsid + " by " + k.who + " " + k.role
			allowed := slices.Index(roles, k.role) >= need && (k.who != service.did || strings.Contains(line, "mod svc"))
			if verb == "GET" {
				h.raw("GET", hostA, "/xrpc/"+nsid+h.goodQuery(nsid), nil, k.header(nsid))
				if got := news(); len(got) != 0 {
					t.Errorf("%s: looking was logged: %+v", what, got)
				}
				continue
			}
			act := acts[nsid]
			if act == nil {
				t.Errorf("%s changes something, and this test does not know how: add a line to acts", nsid)
				break
			}
			people++
			u := h.createAccount(hostA, fmt.Sprintf("subject-%d", people))
			body, subject := act(u)
			refused, about := refusedBody(nsid, u)
			for _, tt := range []struct {
				what    string
				body    obj
				subject string
			}{{"done", body, subject}, {"refused", refused, about}} {
				r := h.post(hostA, nsid, k.header(nsid), tt.body)
				var e struct{ Error string }
				_ = json.Unmarshal(r.body, &e)
				got := news()
				switch {
				case k.who == "" || k.who == service.did && !strings.Contains(line, "mod svc"):
					if len(got) != 0 || r.status != 401 {
						t.Errorf("%s, %s: %d, logged %+v", what, tt.what, r.status, got)
					}
					continue
				case len(got) != 1:
					t.Errorf("%s, %s: %d %s, %d lines in the log", what, tt.what, r.status, r.body, len(got))
					continue
				}
				want := audit.Entry{ID: got[0].ID, At: got[0].At, Detail: got[0].Detail, RequestID: got[0].RequestID, Who: k.who, Role: k.role, Action: nsid, Address: "127.0.0.1", Outcome: e.Error}
				if allowed { // who is not is refused before anybody looks at what is asked for
					want.Subject = tt.subject
				}
				if allowed && tt.what == "done" {
					want.Outcome = audit.Done
				}
				if fmt.Sprintf("%+v", got[0]) != fmt.Sprintf("%+v", want) || got[0].RequestID == "" || want.Outcome == "" || time.Since(got[0].At).Abs() > time.Minute {
					t.Errorf("%s, %s: %d %s\n got %+v\nwant %+v", what, tt.what, r.status, r.body, got[0], want)
				}
				if !allowed && want.Outcome != "Forbidden" {
					t.Errorf("%s: %d %s", what, r.status, r.body)
				}
				if found := secretForms.FindString(fmt.Sprintf("%+v %s", got[0], got[0].Detail)); found != "" {
					t.Errorf("%s: the log holds a secret: %q", what, found)
				}
				for _, secret := range []string{"another-secret", adminPassword, strings.TrimPrefix(owner, "Authorization: Bearer ")} {
					if strings.Contains(fmt.Sprintf("%+v %s", got[0], got[0].Detail), secret) {
						t.Errorf("%s: the log holds a secret: %+v", what, got[0])
					}
				}
			}
		}
	}
	for nsid := range acts {
		if op := h.server.Operations[nsid]; op == nil || op.Class != "operator" || op.Kind != xrpc.ProcedureKind {
			t.Errorf("%s is no act of operators", nsid)
		}
	}
	t.Logf("%d methods, %d acts", methods, people)
}

// An act that is about much is in the log whole, or its beginning is: nobody hides one behind something long.
func TestLongActsAreLogged(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice, bob := h.createAccount(hostA, "alice"), h.createAccount(hostA, "bob")
	service := h.createAccount(hostB, "watcher")
	h.set(hostA, "mod_service_did", service.did)
	token := h.serviceTokens(service)(h.a.ServiceDID, "com.atproto.admin.disableInviteCodes")
	var codes list
	for i := range 1234 {
		codes = append(codes, fmt.Sprint("code-", i))
	}
	codes = append(codes, strings.Repeat("\u00e9", 40_000))
	long := strings.Repeat("\u00e9", 3000)
	many := obj{"codes": codes, "accounts": list{alice.did, long, bob.did}}
	h.post(hostA, "com.atproto.admin.disableInviteCodes", token, many).ok()
	h.post(hostA, "com.atproto.admin.disableInviteCodes", token, many).fails(401, "BadJwt", "")
	h.admin(hostA, "sendEmail", obj{"recipientDid": bob.did, "senderDid": alice.did, "content": "x", "subject": "the subject", "comment": strings.Repeat("\x01", 20_000)}).ok()
	h.admin(hostA, "disableInviteCodes", obj{}).ok()
	seen := map[string]bool{}
	var subjects []string
	for _, e := range h.entries(h.a) {
		var d struct {
			Codes   any
			Subject string
		}
		if e.Detail != nil && (json.Unmarshal(e.Detail, &d) != nil || len(e.Detail) > 8<<10) {
			t.Errorf("%s", e.Detail)
		}
		if l, ok := d.Codes.([]any); ok {
			for _, code := range l {
				seen[code.(string)] = true
			}
		}
		if e.Action == "com.atproto.admin.sendEmail" && d.Subject != "the subject" {
			t.Errorf("%s", e.Detail)
		}
		if e.Subject != "" && e.Outcome == audit.Done {
			subjects = append(subjects, e.Subject)
		}
	}
	for _, code := range codes[:1234] {
		if !seen[code.(string)] {
			t.Fatalf("nobody disabled %s", code)
		}
	}
	if len(subjects) != 4 || subjects[0] != alice.did || subjects[2] != bob.did || subjects[3] != bob.did || !strings.HasPrefix(long, subjects[1]) || len(subjects[1]) < 2000 {
		t.Errorf("%.200v", subjects)
	}
}

// The log over HTTP: pages, filters, and the whole as a file.
func TestAuditLogOverHTTP(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice, bob := h.createAccount(hostA, "alice"), h.createAccount(hostA, "bob")
	admin, moderator := h.operatorNamed(h.a, auth.RoleAdmin), h.operatorNamed(h.a, auth.RoleModerator)
	began := h.clock.Now()
	for i := range 7 {
		u := alice
		if i%3 == 0 {
			u = bob
		}
		h.clock.add(time.Hour)
		h.post(hostA, "com.atproto.admin.disableAccountInvites", admin, obj{"account": u.did, "note": fmt.Sprint("=note ", i)}).ok()
	}
	h.clock.add(time.Hour)
	h.admin(hostA, "enableAccountInvites", obj{"account": alice.did}).ok()
	h.post(hostA, "com.atproto.admin.deleteAccount", moderator, obj{"did": bob.did}).fails(403, "Forbidden", "")
	// Only admins and owners may look, and the other tenant's log is another.
	for _, method := range []string{"queryAuditLog", "exportAuditLog"} {
		h.get(hostA, ownAdmin+method, moderator).fails(403, "Forbidden", "admin")
		h.get(hostA, ownAdmin+method, bearer(alice.access)).fails(401, "AuthenticationRequired", "")
		h.get(hostA, ownAdmin+method, "").fails(401, "AuthenticationRequired", "")
		h.get(hostA, ownAdmin+method, admin, "since", "yesterday").fails(400, "InvalidRequest", "since")
		h.get(hostA, ownAdmin+method, admin, "until", "2026-01-01").fails(400, "InvalidRequest", "until")
		h.get(hostA, ownAdmin+method, admin, "actor", "a\x00").fails(400, "InvalidRequest", "actor")
	}
	if r := h.get(hostB, ownAdmin+"queryAuditLog", asAdmin()).ok(); len(r.at("entries").([]any)) != 0 || r.at("cursor") != nil {
		t.Errorf("%s", r.body)
	}
	all := func(limit string, kv ...string) (out []string) {
		cursor := ""
		for range 20 {
			more := append(slices.Clone(kv), "limit", limit)
			if cursor != "" {
				more = append(more, "cursor", cursor)
			}
			r := h.get(hostA, ownAdmin+"queryAuditLog", admin, more...).ok()
			for _, e := range r.at("entries").([]any) {
				e := e.(obj)
				out = append(out, fmt.Sprint(e["id"], " ", e["who"], " ", strings.TrimPrefix(e["action"].(string), "com.atproto.admin."), " ", e["outcome"]))
			}
			next, ok := r.at("cursor").(string)
			if !ok {
				return out
			}
			cursor = next
		}
		t.Fatal("the log has no end")
		return nil
	}
	everything := all("500")
	if len(everything) != 9 || !slices.IsSortedFunc(everything, func(a, b string) int { return strings.Compare(b, a) }) {
		t.Errorf("%v", everything)
	}
	if got := all("2"); !slices.Equal(got, everything) {
		t.Errorf("%v\n%v", got, everything)
	}
	stamp := func(d time.Duration) string { return began.Add(d).UTC().Format(time.RFC3339Nano) }
	for want, kv := range map[int][]string{
		1: {"actor", "admin"}, 7: {"action", "com.atproto.admin.disableAccountInvites"}, 5: {"subject", alice.did}, 3: {"subject", bob.did},
		2: {"since", stamp(3*time.Hour - time.Minute), "until", stamp(5*time.Hour - time.Minute)}, 8: {"actor", "op-admin", "until", stamp(100 * time.Hour), "limit", "8"},
	} {
		if want == 8 {
			kv, want = kv[:2], 7
		}
		if got := all("3", kv...); len(got) != want {
			t.Errorf("%v: %d: %v", kv, len(got), got)
		}
	}
	for _, kv := range [][]string{{"cursor", "x"}, {"cursor", strings.Repeat("g", 24)}, {"limit", "0"}, {"limit", "501"}} {
		h.get(hostA, ownAdmin+"queryAuditLog", admin, kv...).fails(400, "InvalidRequest", kv[0])
	}
	// As a file, oldest first, and longer than a page of it.
	h.exec(h.a, `INSERT INTO pds.tenant_item (kind, key, created_at, label, flags, value, note, extra, info)
		SELECT 17, convert_to(lpad(to_hex(n), 16, '0') || '00000000', 'UTF8'), to_timestamp(n), 'cli:old', 4, 'old', '', '{}', '["", "", "done"]'::bytea FROM generate_series(1, 1200) n`)
	r := h.get(hostA, ownAdmin+"exportAuditLog", admin).ok()
	lines := strings.Split(strings.TrimSuffix(string(r.body), "\n"), "\n")
	if len(lines) != 1209 || r.header.Get("Content-Type") != "application/jsonl; charset=utf-8" || !strings.Contains(r.header.Get("Content-Disposition"), hostA+"-audit-") {
		t.Fatalf("%d lines, %v", len(lines), r.header)
	}
	last := ""
	for i, line := range lines {
		var e struct{ ID, Who, At string }
		if err := json.Unmarshal([]byte(line), &e); err != nil || e.ID <= last {
			t.Fatalf("line %d: %s %v", i, line, err)
		}
		last = e.ID
	}
	r = h.get(hostA, ownAdmin+"exportAuditLog", admin, "format", "csv", "subject", alice.did).ok()
	rows, err := csv.NewReader(strings.NewReader(string(r.body))).ReadAll()
	if err != nil || len(rows) != 6 || rows[0][0] != "id" || rows[1][5] != alice.did || !strings.Contains(rows[1][6], "note") || rows[5][2] != "admin" || r.header.Get("Content-Type") != "text/csv; charset=utf-8" {
		t.Errorf("%v %v", rows, err)
	}
	h.get(hostA, ownAdmin+"exportAuditLog", admin, "format", "xml").fails(400, "InvalidRequest", "format")
	for in, want := range map[string]string{"": "", "a": "a", "=1+1": "'=1+1", "@x": "'@x", "-1": "'-1", "did:plc:x": "did:plc:x"} {
		if got := harmlessCell(in); got != want {
			t.Errorf("%q: %q", in, got)
		}
	}
}

func TestUsageForOperators(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.createAccount(hostB, "elsewhere").uploaded(make([]byte, 9999))
	sizes := map[string]int{"alice": 300, "bob": 100, "carol": 0, "dave": 300, "eve": 50}
	people := map[string]*user{}
	for _, name := range []string{"alice", "bob", "carol", "dave", "eve"} {
		people[name] = h.createAccount(hostA, name)
		if n := sizes[name]; n > 0 {
			people[name].uploaded([]byte(strings.Repeat("x", n)))
		}
	}
	alice, bob := people["alice"], people["bob"]
	file := bob.uploaded(make([]byte, 1000))
	bob.create(custom, "file", obj{"file": file}).ok()
	h.status(hostA, people["dave"].did, true, nil).ok()
	h.status(hostA, people["eve"].did, nil, true).ok()
	support := h.operatorNamed(h.a, auth.RoleSupport)
	r := h.get(hostA, ownAdmin+"getUsage", support).ok()
	got := fmt.Sprint(r.at("accounts", "total"), r.at("accounts", "active"), r.at("accounts", "deactivated"), r.at("accounts", "takendown"), " ",
		r.at("records"), " ", r.at("files", "count"), "/", r.at("files", "bytes"), " ", r.at("temporary", "count"), "/", r.at("temporary", "bytes"), " ",
		r.at("accountLimit"), " ", r.at("serverLimit"), " ", r.at("uploadLimit"))
	if got != "5311 1 5/1750 4/750 0 0 5242880" {
		t.Errorf("%s: %s", got, r.body)
	}
	if n, err := r.at("databaseBytes").(json.Number).Int64(); err != nil || n < 1<<13 {
		t.Errorf("%s", r.body)
	}
	listed := func(limit string, kv ...string) string {
		var out []string
		for cursor := ""; ; {
			more := append(slices.Clone(kv), "limit", limit)
			if cursor != "" {
				more = append(more, "cursor", cursor)
			}
			r := h.get(hostA, ownAdmin+"listUsage", support, more...).ok()
			for _, a := range r.at("accounts").([]any) {
				a := a.(obj)
				name, _, _ := strings.Cut(a["handle"].(string), ".")
				out = append(out, fmt.Sprint(name, ":", a["files"].(obj)["count"], "/", a["files"].(obj)["bytes"]))
				if l := a["limit"]; l != nil {
					out[len(out)-1] += fmt.Sprint("/", l)
				}
			}
			next, ok := r.at("cursor").(string)
			if !ok {
				return strings.Join(out, " ")
			}
			cursor = next
		}
	}
	for _, limit := range []string{"1", "2", "500"} {
		if got := listed(limit); got != "bob:2/1100 alice:1/300 dave:1/300 eve:1/50 carol:0/0" {
			t.Errorf("pages of %s: %s", limit, got)
		}
		if got := listed(limit, "sort", "account"); got != "alice:1/300 bob:2/1100 carol:0/0 dave:1/300 eve:1/50" {
			t.Errorf("pages of %s: %s", limit, got)
		}
	}
	for _, kv := range [][]string{{"cursor", "x"}, {"cursor", "5"}, {"cursor", "-1.5"}, {"cursor", "5.x"}, {"sort", "name"}, {"limit", "501"}, {"cursor", "1.2", "sort", "account"}} {
		h.get(hostA, ownAdmin+"listUsage", support, kv...).fails(400, "InvalidRequest", "")
	}
	// Limits: of one account, back to the default, and the default.
	limit := func(credential string, in obj) reply { return h.post(hostA, ownAdmin+"setBlobLimit", credential, in) }
	limit(support, obj{"bytes": 1}).fails(403, "Forbidden", "admin")
	limit(asAdmin(), obj{"account": "nobody." + hostA, "bytes": 1}).fails(400, "NotFound", "")
	limit(asAdmin(), obj{"account": people["bob"].did, "bytes": -1}).fails(400, "InvalidRequest", "bytes")
	limit(asAdmin(), obj{"bytes": int64(1) << 60}).fails(400, "InvalidRequest", "bytes")
	holds := func(want string) {
		t.Helper()
		if got := fmt.Sprint(alice.ask(ownServer+"getUsage").ok().at("limit"), " ", alice.ask("com.atproto.server.checkAccountStatus").ok().at("blobLimit")); got != want+" "+want {
			t.Errorf("limit %s, want %s", got, want)
		}
	}
	if r := limit(asAdmin(), obj{"account": alice.handle, "bytes": 301}).ok(); fmt.Sprint(r.at("limit")) != "301" {
		t.Errorf("%s", r.body)
	}
	holds("301")
	alice.upload([]byte("xx")).fails(400, "BlobQuotaExceeded", "")
	alice.upload([]byte("x")).ok()
	if got := listed("2"); !strings.Contains(got, "alice:2/301/301") {
		t.Error(got)
	}
	if r := limit(asAdmin(), obj{"bytes": 50_000}).ok(); fmt.Sprint(r.at("limit")) != "50000" {
		t.Errorf("%s", r.body)
	}
	holds("301") // its own comes first
	if r := limit(asAdmin(), obj{"account": alice.did}).ok(); fmt.Sprint(r.at("limit")) != "50000" {
		t.Errorf("%s", r.body)
	}
	holds("50000")
	limit(asAdmin(), obj{"account": alice.did, "bytes": 0}).ok()
	holds("0")
	limit(asAdmin(), obj{}).ok()
	if r := h.get(hostA, ownAdmin+"getUsage", asAdmin()).ok(); fmt.Sprint(r.at("accountLimit")) != "0" {
		t.Errorf("%s", r.body)
	}
	if got := h.audited(h.a); !slices.Contains(got, "admin owner "+ownAdmin+"setBlobLimit  done") {
		t.Errorf("%v", got)
	}
}
