package handlers

import (
	"net/http"
	"strings"
	"testing"
)

func TestRefusals(t *testing.T) {
	s, _ := exampleServer(t)
	good := `{"repo":"did:plc:alice","collection":"app.bsky.feed.post","record":{"$type":"app.bsky.feed.post"}}`
	for _, tt := range []struct {
		what, method, target, body string
		headers                    []string
		status                     int
		name, part                 string
	}{
		{"wrong verb", "POST", "/xrpc/com.atproto.server.describeServer", "", nil, 400, "InvalidRequest", "Incorrect HTTP method (POST) expected GET"},
		{"wrong verb", "GET", create, "", nil, 400, "InvalidRequest", "Incorrect HTTP method (GET) expected POST"},
		{"unknown method", "GET", "/xrpc/com.example.no.such", "", nil, 501, "MethodNotImplemented", ""},
		{"unknown method", "POST", "/xrpc/app.bsky.actor.getProfile", `{}`, []string{jsonBody}, 501, "MethodNotImplemented", ""},
		{"not an NSID", "GET", "/xrpc/hello", "", nil, 400, "InvalidRequest", "invalid xrpc path"},
		{"nothing", "GET", "/xrpc/", "", nil, 400, "InvalidRequest", "invalid xrpc path"},
		{"slash behind", "GET", "/xrpc/com.atproto.server.describeServer/", "", nil, 400, "InvalidRequest", "invalid xrpc path"},
		{"two slashes", "POST", "/xrpc//com.atproto.server.describeServer", "", nil, 400, "InvalidRequest", "invalid xrpc path"},
		{"dots", "GET", "/xrpc/../xrpc/com.atproto.server.describeServer", "", nil, 400, "InvalidRequest", "invalid xrpc path"},
		{"elsewhere", "GET", "/nothing/here", "", nil, 404, "NotFound", ""},
		{"wrong verb of a page", "POST", "/robots.txt", "", nil, 404, "NotFound", ""},
		{"unknown host", "GET", "/xrpc/com.atproto.server.describeServer", "", []string{"Host: other.test"}, 421, "UnknownHost", ""},
		{"host of a handle", "GET", "/xrpc/com.atproto.server.describeServer", "", []string{"Host: alice.alpha.test"}, 404, "NotFound", ""},

		{"parameter missing", "GET", "/xrpc/com.atproto.repo.listRecords?collection=a.b.c", "", nil, 400, "InvalidRequest", "repo is required"},
		{"parameter malformed", "GET", "/xrpc/com.atproto.repo.listRecords?collection=a.b.c&repo=a..b", "", nil, 400, "InvalidRequest", "repo must be a valid handle or DID"},
		{"parameter's escape broken", "GET", "/xrpc/com.atproto.repo.listRecords?collection=a.b.c&repo=%zz", "", nil, 400, "InvalidRequest", "repo must be"},
		{"not an integer", "GET", "/xrpc/com.atproto.repo.listRecords?collection=a.b.c&repo=a.test&limit=ten", "", nil, 400, "InvalidRequest", "limit must be an integer"},
		{"too low", "GET", "/xrpc/com.atproto.repo.listRecords?collection=a.b.c&repo=a.test&limit=0", "", nil, 400, "InvalidRequest", "limit must be"},
		{"too high", "GET", "/xrpc/com.atproto.repo.listRecords?collection=a.b.c&repo=a.test&limit=101", "", nil, 400, "InvalidRequest", "limit must be"},
		{"array's element", "GET", "/xrpc/com.atproto.sync.getBlocks?did=did:plc:alice&cids=bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a&cids=no", "", nil, 400, "InvalidRequest", "cids[1] must be a valid CID"},
		{"body on a query", "GET", "/xrpc/com.atproto.server.describeServer", "x", nil, 400, "InvalidRequest", "none was expected"},

		{"no token", "POST", create, good, []string{jsonBody}, 401, "AuthMissing", ""},
		{"no token beats bad body", "POST", create, "{", []string{jsonBody}, 401, "AuthMissing", ""},
		{"no token beats no body", "POST", create, "", nil, 401, "AuthMissing", ""},
		{"expired", "POST", create, good, []string{jsonBody, "Authorization: Bearer old"}, 400, "ExpiredToken", "Token has expired"},
		{"other's token", "POST", create, good, []string{jsonBody, "Authorization: Bearer mallory"}, 400, "InvalidToken", ""},
		{"failure in auth", "POST", create, good, []string{jsonBody, "Authorization: Bearer broken"}, 500, "InternalServerError", "Internal Server Error"},
		{"viewer's header junk", "GET", "/xrpc/com.atproto.sync.getRepo?did=did:plc:alice", "", []string{"Authorization: Bearer junk"}, 401, "AuthenticationRequired", "Invalid authorization header"},
		{"viewer's basic wrong", "GET", "/xrpc/com.atproto.sync.getRepo?did=did:plc:alice", "", []string{"Authorization: Basic wrong"}, 401, "AuthenticationRequired", "Invalid authorization header"},
		{"viewer's parameter beats header", "GET", "/xrpc/com.atproto.sync.getRepo?did=alice", "", []string{"Authorization: Bearer junk"}, 400, "InvalidRequest", "did must be a valid DID"},
		{"operator", "POST", "/xrpc/com.atproto.server.createInviteCode", `{"useCount":1}`, []string{jsonBody, asAlice}, 401, "AuthenticationRequired", ""},

		{"no body", "POST", create, "", []string{jsonBody, asAlice}, 400, "InvalidRequest", "A request body is expected but none was provided"},
		{"wrong type", "POST", create, good, []string{"Content-Type: text/plain; a=b", asAlice}, 400, "InvalidRequest", "Wrong request encoding (Content-Type): text/plain"},
		{"no type", "POST", create, good, []string{asAlice}, 400, "InvalidRequest", "Content-Type"},
		{"unknown encoding", "POST", create, good, []string{jsonBody, asAlice, "Content-Encoding: lzma"}, 415, "UnsupportedMediaType", ""},
		{"broken gzip", "POST", create, good, []string{jsonBody, asAlice, "Content-Encoding: gzip"}, 400, "InvalidRequest", "cannot be decoded"},
		{"not JSON", "POST", create, `{"repo":"did:plc:alice",}`, []string{jsonBody, asAlice}, 400, "InvalidRequest", "not valid JSON at byte"},
		{"cut JSON", "POST", create, `{"repo":"did:plc:alice"`, []string{jsonBody, asAlice}, 400, "InvalidRequest", "ends in the middle"},
		{"two values", "POST", create, good + "{}", []string{jsonBody, asAlice}, 400, "InvalidRequest", "not valid JSON"},
		{"member twice", "POST", create, `{"repo":"did:plc:alice","repo":"did:plc:bob"}`, []string{jsonBody, asAlice}, 400, "InvalidRequest", "same member twice"},
		{"member twice in the record", "POST", create, strings.Replace(good, `"record":{`, `"record":{"a":1,"a":2,`, 1), []string{jsonBody, asAlice}, 400, "InvalidRequest", "same member twice"},
		{"other case", "POST", create, strings.Replace(good, `"repo"`, `"Repo"`, 1), []string{jsonBody, asAlice}, 400, "InvalidRequest", "repo is required"},
		{"member missing", "POST", create, strings.Replace(good, `"record"`, `"recrod"`, 1), []string{jsonBody, asAlice}, 400, "InvalidRequest", "record is required"},
		{"member malformed", "POST", create, strings.Replace(good, `app.bsky.feed.post`, `post`, 1), []string{jsonBody, asAlice}, 400, "InvalidRequest", "collection must be a valid NSID"},
		{"empty record key", "POST", create, strings.Replace(good, `{`, `{"rkey":"",`, 1), []string{jsonBody, asAlice}, 400, "InvalidRequest", "rkey must be a valid record key"},
		{"member of other type", "POST", create, strings.Replace(good, `{`, `{"validate":"yes",`, 1), []string{jsonBody, asAlice}, 400, "InvalidRequest", "validate must be a boolean"},
		{"array for an object", "POST", create, `[1]`, []string{jsonBody, asAlice}, 400, "InvalidRequest", "must be an object"},
		{"other's repository", "POST", create, strings.Replace(good, "alice", "bob", 1), []string{jsonBody, asAlice}, 401, "AuthenticationRequired", ""},
		{"union without type", "POST", "/xrpc/com.atproto.repo.applyWrites", `{"repo":"did:plc:alice","writes":[{"collection":"a.b.c"}]}`, []string{jsonBody, asAlice}, 400, "InvalidRequest", "writes[0] must be an object with a $type"},
		{"closed union", "POST", "/xrpc/com.atproto.repo.applyWrites", `{"repo":"did:plc:alice","writes":[{"$type":"com.atproto.repo.applyWrites#move"}]}`, []string{jsonBody, asAlice}, 400, "InvalidRequest", "$type"},
		{"missing in a union", "POST", "/xrpc/com.atproto.repo.applyWrites", `{"repo":"did:plc:alice","writes":[{"$type":"com.atproto.repo.applyWrites#create","collection":"a.b.c"}]}`, []string{jsonBody, asAlice}, 400, "InvalidRequest", "writes[0].value is required"},
		{"held against the lexicon: missing", "POST", "/xrpc/com.atproto.server.createSession", `{"identifier":"a"}`, []string{jsonBody}, 400, "InvalidRequest", "password is required"},
		{"held against the lexicon: type", "POST", "/xrpc/com.atproto.server.createSession", `{"identifier":"a","password":"hunter2","allowTakendown":"hunter2"}`, []string{jsonBody}, 400, "InvalidRequest", "allowTakendown must be a boolean"},
		{"held against the lexicon: null", "POST", "/xrpc/com.atproto.server.createSession", `{"identifier":"a","password":null}`, []string{jsonBody}, 400, "InvalidRequest", "password must be a string"},

		{"unlisted error", "POST", create, strings.Replace(good, `{`, `{"rkey":"fails",`, 1), []string{jsonBody, asAlice}, 500, "InternalServerError", "Internal Server Error"},
		{"panic", "POST", create, strings.Replace(good, `{`, `{"rkey":"panic",`, 1), []string{jsonBody, asAlice}, 500, "InternalServerError", "Internal Server Error"},
		{"error before the stream", "GET", "/xrpc/com.atproto.sync.getRepo?did=did:plc:alice&since=3jqfcqzm3fo2j", "", nil, 400, "InvalidRequest", "since is not known"},
	} {
		t.Run(tt.what, func(t *testing.T) {
			w := ask(s, tt.method, tt.target, tt.body, tt.headers...)
			wantError(t, w, tt.status, tt.name, tt.part)
			if strings.Contains(w.Body.String(), "secret") || strings.Contains(w.Body.String(), "hunter2") {
				t.Errorf("leaks: %s", w.Body)
			}
			if w.Header().Get("Access-Control-Allow-Origin") != "*" {
				t.Error("no CORS header")
			}
		})
	}
}

// A malformed parameter is told before anybody is asked who calls; a body is not read before.
func TestOrder(t *testing.T) {
	s, w := exampleServer(t)
	body := &countingReader{r: strings.NewReader(`{}`)}
	r, _ := http.NewRequest("POST", create, body)
	r.Host = "alpha.test"
	r.Header.Set("Content-Type", "application/json")
	rec := serve(s, r)
	wantError(t, rec, 401, "AuthMissing", "")
	if body.n != 0 || w.asked != 1 {
		t.Errorf("%d bytes of the body read, %d times asked for the caller", body.n, w.asked)
	}
}

func TestDeepRecord(t *testing.T) {
	s, _ := exampleServer(t)
	for _, depth := range []int{100, 2000, 20_000} {
		body := `{"repo":"did:plc:alice","collection":"a.b.c","record":` + strings.Repeat(`{"a":`, depth) + "{}" + strings.Repeat("}", depth) + `}`
		w := ask(s, "POST", create, body, jsonBody, asAlice)
		if depth < 10_000 && w.Code != 200 || depth > 10_000 && w.Code != 400 {
			t.Errorf("depth %d: %d %.200s", depth, w.Code, w.Body)
		}
	}
}
