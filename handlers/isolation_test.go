package handlers

import (
	"crypto/sha256"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/auroralocus/locus/internal/xrpc"

	"github.com/jackc/pgx/v5"

	"github.com/auroralocus/locus/internal/tenant"
)

// isolationCall is one call of a method on tenant A.
type isolationCall struct {
	auth string
	kv   []string // parameters
	body any
}

// isolationPair is two accounts that look the same at two tenants. For every method it knows calls on A that do as much
// as the method can, with what belongs to A and with what belongs to B. A method without a line fails the test: nothing
// is served whose isolation nobody thought of.
type isolationPair struct {
	h                *house
	alice            *user // of A
	twin             *user // of B: same label, same records
	spare            *user // of A: for what ends an account or a session
	commit, twinHead string
	blob             string // both have it
	fresh            int    // accounts made on the way
}

// calls are the calls of a method. The first one must succeed; lenient says that it needs something that this test does
// not have (a mailed token, a running other server).
func (p *isolationPair) calls(nsid string) (calls []isolationCall, lenient bool) {
	a, b := p.alice, p.twin
	as, asTwin := bearer(a.access), bearer(b.access)
	p.commit, _ = a.head()
	theirs := map[any]string{a.did: b.did, a.handle: b.handle, p.commit: p.twinHead}
	// everyone makes a call with every credential there is, first with A's values and then with B's.
	everyone := func(first string, kv []string, body obj) []isolationCall {
		var otherBody any
		if body != nil {
			in := obj{}
			for k, v := range body {
				in[k] = v
				if s, ok := v.(string); ok && theirs[s] != "" {
					in[k] = theirs[s]
				}
			}
			otherBody = in
		}
		other := slices.Clone(kv)
		for i, v := range other {
			if theirs[v] != "" {
				other[i] = theirs[v]
			}
		}
		calls := []isolationCall{{first, kv, nil}}
		if body != nil {
			calls[0].body = body
		}
		own := first
		if !strings.Contains(own, "Bearer") {
			own = as
		}
		return append(calls, isolationCall{asTwin, kv, calls[0].body}, isolationCall{own, other, otherBody}, isolationCall{asTwin, other, otherBody},
			isolationCall{"", other, otherBody}, isolationCall{asAdmin(), other, otherBody}, isolationCall{bearer(b.refresh), other, otherBody})
	}
	procedure := func(body obj) []isolationCall { return everyone(as, nil, body) }
	query := func(kv ...string) []isolationCall { return everyone(as, kv, nil) }
	admin := func(body obj) []isolationCall { return everyone(asAdmin(), nil, body) }
	adminQuery := func(kv ...string) []isolationCall { return everyone(asAdmin(), kv, nil) }
	anybody := func(body obj) []isolationCall { return everyone("", nil, body) }
	repoRef := func(u *user) obj { return obj{"$type": "com.atproto.admin.defs#repoRef", "did": u.did} }
	switch strings.TrimPrefix(nsid, "com.atproto.") {
	case "server.createAccount":
		return []isolationCall{
			{"", nil, obj{"handle": "new.a.test", "email": "new@example.com", "password": userPassword}},
			{"", nil, obj{"handle": "new.b.test", "email": "new2@example.com", "password": userPassword}},
			{"", nil, obj{"handle": b.handle, "email": "new3@example.com", "password": userPassword}},
			{asTwin, nil, obj{"handle": b.handle, "did": b.did, "email": "new4@example.com", "password": userPassword}},
		}, false
	case "server.createSession":
		return anybody(obj{"identifier": a.handle, "password": userPassword}), false
	case "server.refreshSession":
		return everyone(bearer(a.refresh), nil, nil), false
	case "server.deleteSession":
		return everyone(bearer(p.spare.refresh), nil, nil), false
	case "server.getSession", "server.describeServer", "sync.listRepos", "temp.checkSignupQueue":
		return query(), false
	case "server.createInviteCode":
		return admin(obj{"useCount": 1, "forAccount": a.did}), false
	case "server.createInviteCodes":
		return append(admin(obj{"useCount": 1}), isolationCall{asAdmin(), nil, obj{"useCount": 1, "forAccounts": list{a.did, b.did}}}), false
	case "repo.createRecord":
		return procedure(obj{"repo": a.handle, "collection": custom, "record": obj{"n": 1}}), false
	case "repo.putRecord":
		return procedure(obj{"repo": a.did, "collection": custom, "rkey": "self", "record": obj{"n": 3}}), false
	case "repo.deleteRecord":
		return procedure(obj{"repo": a.did, "collection": custom, "rkey": "self"}), false
	case "repo.applyWrites":
		return procedure(obj{"repo": a.did, "writes": list{updateOp(custom, "self", obj{"n": 4}), deleteOp(post, "3jqfcqzm3fo2j")}}), false
	case "repo.getRecord":
		return query("repo", a.handle, "collection", post, "rkey", "3jqfcqzm3fo2k"), false
	case "repo.listRecords":
		return query("repo", a.did, "collection", post), false
	case "repo.describeRepo":
		return query("repo", a.did), false
	case "sync.getRepo", "sync.getLatestCommit", "sync.getRepoStatus":
		return query("did", a.did), false
	case "sync.getRecord":
		return query("did", a.did, "collection", custom, "rkey", "self"), false
	case "sync.getBlocks":
		return query("did", a.did, "cids", p.commit), false
	case "repo.uploadBlob":
		return procedure(obj{"any": "bytes"}), false
	case "repo.listMissingBlobs":
		return query(), false
	case "sync.getBlob":
		return query("did", a.did, "cid", p.blob), false
	case "sync.listBlobs":
		return query("did", a.did), false
	case "app.bsky.actor.getPreferences":
		return query(), false
	case "moderation.createReport": // which has nobody to go to here: TestProxyRouting
		return procedure(obj{"reasonType": "com.atproto.moderation.defs#reasonSpam", "subject": obj{"$type": "com.atproto.admin.defs#repoRef", "did": a.did}}), true
	case "app.bsky.actor.putPreferences":
		return procedure(obj{"preferences": list{}}), false
	case "identity.resolveHandle":
		return query("handle", a.handle), false
	case "identity.resolveDid":
		return query("did", a.did), false
	case "identity.resolveIdentity":
		return query("identifier", a.handle), false
	case "identity.refreshIdentity":
		return procedure(obj{"identifier": a.did}), false
	case "identity.getRecommendedDidCredentials":
		return query(), false
	case "identity.updateHandle":
		return append(everyone(bearer(p.spare.access), nil, obj{"handle": "renamed.a.test"}),
			isolationCall{bearer(p.spare.access), nil, obj{"handle": b.handle}}, isolationCall{bearer(p.spare.access), nil, obj{"handle": "free.b.test"}}), false
	case "identity.requestPlcOperationSignature":
		return procedure(nil), false
	case "identity.signPlcOperation", "identity.submitPlcOperation":
		return procedure(p.h.goodBody(nsid)), true
	case "server.checkAccountStatus", "server.getAccountInviteCodes", "server.listAppPasswords":
		return query(), false
	case "server.activateAccount":
		return everyone(bearer(p.spare.access), nil, nil), false
	case "server.deactivateAccount":
		return everyone(bearer(p.spare.access), nil, obj{}), false
	case "server.createAppPassword", "server.revokeAppPassword":
		return procedure(obj{"name": "mine"}), false
	case "server.getServiceAuth":
		return query("aud", "did:web:example.com"), false
	case "server.requestAccountDelete", "server.requestEmailUpdate":
		return procedure(nil), false
	case "server.requestEmailConfirmation":
		return procedure(nil), true // may be confirmed already
	case "server.requestPasswordReset":
		return anybody(obj{"email": "alice@example.com"}), true
	case "server.updateEmail":
		return everyone(bearer(p.spare.access), nil, obj{"email": "elsewhere@example.com"}), true
	case "server.reserveSigningKey":
		return append(anybody(obj{"did": "did:plc:ewvi7nxzyoun6zhxrhs64oiz"}), anybody(obj{"did": b.did})...), false
	case "server.confirmEmail", "server.deleteAccount", "server.resetPassword": // with a token that nobody was sent
		return everyone(bearer(p.spare.access), nil, p.h.goodBody(nsid)), true
	case "repo.importRepo":
		return []isolationCall{{as, nil, "bytes"}, {asTwin, nil, "bytes"}, {"", nil, "bytes"}, {asAdmin(), nil, "bytes"}}, true
	case "sync.getHead", "sync.getCheckout":
		return query("did", a.did), false
	case "sync.getHostStatus", "sync.listHosts", "sync.listReposByCollection", "sync.notifyOfUpdate", "sync.requestCrawl":
		return nil, true // about no account's own
	case "org.auroralocus.server.deletePasskey":
		return procedure(obj{"password": userPassword, "id": "AAAA"}), true // there is none
	case "org.auroralocus.server.getSecondFactor", "org.auroralocus.server.getUsage", "org.auroralocus.server.listPasskeys":
		return query(), false
	case "org.auroralocus.server.beginAuthenticator":
		return procedure(obj{"password": userPassword}), false
	case "org.auroralocus.server.confirmAuthenticator":
		return procedure(obj{"code": "000000"}), true
	case "org.auroralocus.server.confirmSession":
		return procedure(obj{"password": userPassword}), false
	case "org.auroralocus.server.createBackupCodes", "org.auroralocus.server.disableAuthenticator":
		return procedure(obj{"password": userPassword, "code": "000000"}), true // nothing is on
	case "org.auroralocus.server.setEmailFactor":
		return procedure(obj{"password": userPassword, "enabled": false}), false
	case "org.auroralocus.admin.getUsage", "org.auroralocus.admin.listUsage":
		return adminQuery(), false
	case "org.auroralocus.admin.queryAuditLog", "org.auroralocus.admin.exportAuditLog":
		return adminQuery("subject", a.did), false
	case "org.auroralocus.admin.setBlobLimit", "org.auroralocus.admin.setRecordLimits":
		return append(admin(obj{"account": a.did, "bytes": 1 << 20}), isolationCall{asAdmin(), nil, obj{"bytes": 1 << 30}}), false
	case "admin.deleteAccount":
		victim := p.h.createAccount(hostA, "victim")
		return append([]isolationCall{{asAdmin(), nil, obj{"did": victim.did}}, {asAdmin(), nil, obj{"did": b.did}}}, admin(obj{"did": victim.did})[1:]...), false
	case "admin.disableAccountInvites", "admin.enableAccountInvites":
		return admin(obj{"account": a.did}), false
	case "admin.disableInviteCodes":
		return admin(obj{"codes": list{}, "accounts": list{b.did}}), false
	case "admin.getAccountInfo":
		return adminQuery("did", a.did), false
	case "admin.getAccountInfos":
		return adminQuery("dids", a.did), false
	case "admin.getInviteCodes", "admin.searchAccounts":
		return adminQuery(), false
	case "admin.getSubjectStatus":
		return adminQuery("did", a.did), false
	case "admin.sendEmail":
		return admin(obj{"recipientDid": a.did, "senderDid": a.did, "content": "hello"}), false
	case "admin.updateAccountEmail":
		return append(admin(obj{"account": p.spare.did, "email": "other@example.com"}), isolationCall{asAdmin(), nil, obj{"account": b.did, "email": "other2@example.com"}}), false
	case "admin.updateAccountHandle":
		return append(admin(obj{"did": p.spare.did, "handle": "second.a.test"}), isolationCall{asAdmin(), nil, obj{"did": b.did, "handle": "third.a.test"}}), false
	case "admin.updateAccountPassword":
		p.fresh++ // sessions end with the password: an account of its own
		own := p.h.createAccount(hostA, fmt.Sprintf("own-%d", p.fresh))
		return append(admin(obj{"did": own.did, "password": userPassword}), isolationCall{asAdmin(), nil, obj{"did": b.did, "password": "changed"}}), false
	case "admin.updateAccountSigningKey":
		return admin(p.h.goodBody(nsid)), true
	case "admin.updateSubjectStatus":
		down := obj{"applied": true}
		return append(admin(obj{"subject": repoRef(p.h.createAccount(hostA, "second-victim")), "takedown": down}),
			isolationCall{asAdmin(), nil, obj{"subject": repoRef(b), "takedown": down}}), false
	}
	return nil, false
}

// every makes calls of a method from what the document says of its input: all that names an account, with B's.
func (p *isolationPair) every(nsid string) []isolationCall {
	fill := func(name string, q param) any {
		switch q.schema.Format {
		case "did", "at-identifier":
			return p.twin.did
		case "handle":
			return p.twin.handle
		case "at-uri":
			return "at://" + p.twin.did + "/" + custom + "/self"
		case "cid":
			return p.twinHead
		}
		return q.good()
	}
	var kv []string
	for _, q := range p.h.queryParams(nsid) {
		kv = append(kv, q.name, text(fill(q.name, q)))
	}
	var body any
	if op := p.h.server.Operations[nsid]; op.Input == "application/json" {
		in := obj{}
		for _, q := range p.h.bodyParams(nsid) {
			if in[q.name] = fill(q.name, q); q.array {
				in[q.name] = list{in[q.name]}
			}
		}
		body = in
	}
	var calls []isolationCall
	p.fresh++
	own := p.h.createAccount(hostA, fmt.Sprintf("own-%d", p.fresh))
	for _, auth := range []string{"", bearer(p.twin.access), bearer(p.twin.refresh), asAdmin(), bearer(own.access), bearer(own.refresh)} {
		calls = append(calls, isolationCall{auth, kv, body})
	}
	return calls
}

// TestIsolation: two tenants that look the same; whatever is called on one leaves the other's schema as it was, to the
// byte, and tells nothing of it.
func TestIsolation(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	p := &isolationPair{h: h, alice: h.createAccount(hostA, "alice"), twin: h.createAccount(hostB, "alice"), spare: h.createAccount(hostA, "spare")}
	for _, u := range []*user{p.alice, p.twin} {
		for _, rkey := range []string{"3jqfcqzm3fo2j", "3jqfcqzm3fo2k"} {
			u.create(post, rkey, postRecord("the same")).ok()
		}
		u.create(custom, "self", obj{"n": 1}).ok()
		file := u.uploaded([]byte("the same bytes"))
		u.create(custom, "file", obj{"file": file}).ok()
		p.blob = refOf(file)
	}
	h.check()
	p.twinHead, _ = p.twin.head()
	secrets := []string{p.twin.did, p.twin.handle, p.twinHead, p.twin.access, p.twin.refresh}
	before := h.dump(h.b)
	var names []string
	for nsid, op := range h.server.Operations {
		if op.Kind != xrpc.SubscriptionKind { // sync_subscribe_repos_test.go
			names = append(names, nsid)
		}
	}
	slices.Sort(names)
	methods := 0
	for _, nsid := range names {
		calls, lenient := p.calls(nsid)
		if len(calls) == 0 && !lenient {
			t.Errorf("%s is served, and TestIsolation does not know how to call it: add a line to (*isolationPair).calls", nsid)
		} else {
			methods++
		}
		op := h.server.Operations[nsid]
		own, seen := len(calls), map[string]int{}
		for i, c := range append(calls, p.every(nsid)...) {
			given := fmt.Sprint(c.auth, c.kv, c.body) // what the caller said itself may come back
			if input := fmt.Sprint(c.kv, c.body); (op.Class == "public" || op.Class == "newcomer") && seen[input] > 1 {
				continue // nobody looks who calls, and refused sign-ins take their time
			} else {
				seen[input]++
			}
			query := ""
			if len(c.kv) > 0 {
				query = params(c.kv...)
			}
			r := h.raw(op.Kind.Verb(), hostA, "/xrpc/"+nsid+query, c.body, c.auth)
			if i == 0 && own > 0 && !lenient && r.status != 200 {
				t.Errorf("%s: %d %s", nsid, r.status, r.body)
			}
			if r.status == 500 {
				t.Errorf("%s %.100s: %d %s", nsid, given, r.status, r.body)
			}
			for _, secret := range secrets {
				if strings.Contains(string(r.body), secret) && !strings.Contains(given, secret) && !resolves(nsid) {
					t.Errorf("%s %.100s tells %s of the other tenant", nsid, given, secret)
				}
			}
		}
		if after := h.dump(h.b); after != before {
			t.Fatalf("%s changed the other tenant's schema:\n%s", nsid, difference(before, after))
		}
	}
	h.check()
	t.Logf("%d methods", methods)

	// What is the other tenant's is as unknown here as what never was.
	stranger, nobody := "did:plc:ewvi7nxzyoun6zhxrhs64oiz", "nobody.b.test"
	for _, nsid := range names {
		for _, q := range h.queryParams(nsid) {
			if q.schema.Format != "did" && q.schema.Format != "at-identifier" || resolves(nsid) {
				continue
			}
			for _, pair := range [][2]string{{p.twin.did, stranger}, {p.twin.handle, nobody}} {
				if q.schema.Format == "did" && !strings.HasPrefix(pair[0], "did:") {
					continue
				}
				for _, auth := range []string{"", bearer(p.alice.access), asAdmin()} {
					theirs := h.raw("GET", hostA, "/xrpc/"+nsid+h.goodQuery(nsid, q.name, pair[0]), nil, auth)
					unknown := h.raw("GET", hostA, "/xrpc/"+nsid+h.goodQuery(nsid, q.name, pair[1]), nil, auth)
					if got, want := strings.ReplaceAll(string(theirs.body), pair[0], "X"), strings.ReplaceAll(string(unknown.body), pair[1], "X"); theirs.status != unknown.status || got != want {
						t.Errorf("%s: the other tenant's: %d %.200s, nobody's: %d %.200s", theirs.what, theirs.status, got, unknown.status, want)
					}
				}
			}
		}
	}
	// And it lives on.
	p.twin.create(custom, "", obj{}).ok()
	h.post(hostB, refreshSession, bearer(p.twin.refresh), nil).ok()
	h.check()
	if h.dump(h.b) == before {
		t.Error("the dump does not see changes")
	}
}

// resolves tells of a method that finds out what the whole network may know.
func resolves(nsid string) bool {
	return slices.Contains([]string{"resolveHandle", "resolveDid", "resolveIdentity", "refreshIdentity"}, nsid[strings.LastIndexByte(nsid, '.')+1:])
}

// TestOneDIDTwice: one DID may have accounts at two tenants (a move between them); what happens to one is not the
// other's.
func TestOneDIDTwice(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice, bob := h.createAccount(hostA, "alice"), h.createAccount(hostB, "bob")
	// The same repository rows in the other schema, as a move would leave them.
	for _, table := range []string{"account_item", "account", "record", "mst_node", "repo_event", "refresh_token"} {
		h.exec(h.b, "DELETE FROM pds."+table+" WHERE aid = (SELECT aid FROM pds.actor WHERE did = $1)", bob.did)
	}
	h.exec(h.b, "UPDATE pds.actor SET did = $1 WHERE did = $2", alice.did, bob.did)
	h.actors.Forget(h.b.Schema, bob.did)
	before := h.dump(h.b)
	alice.create(custom, "x", obj{}).ok()
	h.get(hostB, getSession, bearer(alice.access)).fails(400, "InvalidToken", "")
	h.post(hostB, "com.atproto.repo.createRecord", bearer(alice.access), obj{"repo": alice.did, "collection": custom, "record": obj{}}).fails(400, "InvalidToken", "")
	h.post(hostB, refreshSession, bearer(alice.refresh), nil).fails(400, "InvalidToken", "")
	alice.setStatus("takedown_ref", "x")
	h.get(hostB, "com.atproto.repo.getRecord", "", "repo", alice.did, "collection", custom, "rkey", "x").fails(400, "RecordNotFound", "")
	if s := h.get(hostB, "com.atproto.sync.getRepoStatus", "", "did", alice.did).ok(); s.at("active") != true {
		t.Errorf("a takedown at one tenant reaches the other: %s", s.body)
	}
	if h.dump(h.b) != before {
		t.Error("the other tenant's schema changed")
	}
}

// dump is every row of every table of a tenant's schema, in the order of the primary keys, as text. Only the tables'
// contents count: nothing is left out.
func (h *house) dump(tn *tenant.Tenant) string {
	h.t.Helper()
	conn, err := pgx.Connect(h.t.Context(), h.url)
	if err != nil {
		h.t.Fatal(err)
	}
	defer conn.Close(h.t.Context())
	rows, err := conn.Query(h.t.Context(), `
		SELECT c.relname, (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY k.ord)
			FROM pg_index i CROSS JOIN unnest(i.indkey) WITH ORDINALITY k(att, ord)
			JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.att
			WHERE i.indrelid = c.oid AND i.indisprimary)
		FROM pg_class c WHERE c.relnamespace = $1::regnamespace AND c.relkind IN ('r', 'p') ORDER BY 1`, tn.Schema.String())
	if err != nil {
		h.t.Fatal(err)
	}
	tables, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) ([2]string, error) {
		var name, key string
		err := row.Scan(&name, &key)
		return [2]string{name, key}, err
	})
	if err != nil {
		h.t.Fatal(err)
	}
	if len(tables) < 10 {
		h.t.Fatalf("only %d tables in %s", len(tables), tn.Schema)
	}
	var out strings.Builder
	for _, table := range tables {
		sum := sha256.New()
		n := 0
		rows, err := conn.Query(h.t.Context(), "SELECT r::text FROM "+tn.Schema.String()+"."+table[0]+" r ORDER BY "+table[1])
		if err != nil {
			h.t.Fatal(err)
		}
		for rows.Next() {
			var row string
			if err := rows.Scan(&row); err != nil {
				h.t.Fatal(err)
			}
			_, _ = io.WriteString(sum, row+"\n")
			n++
		}
		if rows.Err() != nil {
			h.t.Fatal(rows.Err())
		}
		fmt.Fprintf(&out, "%s %d rows %x\n", table[0], n, sum.Sum(nil))
	}
	return out.String()
}

func difference(before, after string) string {
	var out strings.Builder
	was := strings.Split(before, "\n")
	for i, line := range strings.Split(after, "\n") {
		if i >= len(was) || was[i] != line {
			fmt.Fprintln(&out, line)
		}
	}
	return out.String()
}
