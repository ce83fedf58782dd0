package main

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/auroralocus/locus/"

// mayImport is the map of the house: a package, and the packages of ours that it may import. Imports only go down:
// a new arrow is a decision, so it is made here, with its reason.
var mayImport = map[string][]string{
	// pure: no database, no HTTP server, no clock
	"internal/cache/cachetest": {}, // for tests: the live heap
	"internal/cache":           {}, // bytes and scopes: it knows nothing of what is kept
	"repo/dagcbor":             {},
	"repo/dagcbor/dagcbortest": {"repo/dagcbor"}, // for tests: blocks as trees
	"repo/car":                 {"repo/dagcbor"},
	"repo/mst":                 {"repo/dagcbor"},
	"repo":                     {"repo/mst", "repo/car", "repo/dagcbor"},
	"internal/syntax":          {},
	"internal/syntax/oracle":   {},                                  // for tests: the reference implementation, by Node
	"internal/lexicon":         {"internal/syntax", "repo/dagcbor"}, // the string formats; records are read as blocks

	"internal/splice":      {},                                                         // JSON that is changed where it lies
	"internal/proxy/view":  {"internal/splice"},                                        // the app's views, made from the lexicons
	"internal/proxy/merge": {"internal/proxy/view", "internal/splice", "repo/dagcbor"}, // answers and records in, an answer out: it asks nobody but by functions it is handed

	"internal/oauth/scope":     {"internal/syntax"},                                                                                     // what clients may do, as text: no store, no network
	"internal/oauth/jose":      {},                                                                                                      // tokens and keys: bytes in, a verdict out
	"internal/oauth/dpop":      {"internal/cache", "internal/oauth/jose"},                                                               // proofs: it is told the time, and keeps nothing but keys
	"internal/oauth/oauthtest": {},                                                                                                      // for tests: a client's keys
	"internal/oauth/client":    {"internal/cache", "internal/fair", "internal/oauth/jose", "internal/oauth/scope", "internal/outbound"}, // documents and keys, fetched

	"internal/fair":          {}, // places and memory, shared: it knows names only
	"internal/agent":         {}, // what a header names, in words
	"internal/mail":          {},
	"internal/contentcoding": {}, // bytes in, bytes out
	"docs":                   {}, // the handbook: text in, pages out
	"internal/metrics":       {}, // numbers: who starts a server says where they are
	"internal/trace":         {}, // spans: it knows names that it is given
	"internal/vectors":       {}, // for tests: where the interop vectors are
	"internal/freeport":      {}, // for tests: addresses for servers
	"internal/procfs":        {}, // for tests: what processes have used

	"internal/certs/certstest": {},                           // for tests: a certificate authority
	"internal/mail/mailtest":   {"internal/certs/certstest"}, // for tests: SMTP servers, with certificates

	"internal/outbound":         {}, // the way out: it knows addresses, not what is asked for
	"internal/outbound/dnstest": {}, // for tests: a name server

	// store
	"schema":       {},
	"db/controldb": {},
	"db/tenantdb":  {},
	"db":           {"internal/fair", "db/controldb", "db/tenantdb", "schema"},
	"db/embedded":  {},
	"db/dbtest":    {"db", "db/embedded", "schema"}, // tests only, and it starts servers as embedded does

	// domain
	"internal/keyring":             {"internal/cache"},
	"internal/identity":            {"internal/cache", "internal/outbound", "internal/syntax"}, // documents and handles are fetched
	"internal/identity/plcdir":     {"db", "db/controldb", "internal/identity"},                // the built-in directory keeps its log in Postgres
	"internal/firehose":            {"internal/fair", "db", "db/controldb", "db/tenantdb", "internal/syntax", "repo", "repo/mst", "repo/car", "repo/dagcbor"},
	"repo/repodb":                  {"internal/cache", "internal/fair", "db", "db/tenantdb", "internal/firehose", "internal/keyring", "internal/trace", "repo", "repo/mst", "repo/car", "repo/dagcbor"}, // trace: a commit is made for many requests, as part of one's
	"internal/audit":               {"db/controldb", "db/tenantdb"},                                                                                                                                     // a log: it knows nobody
	"internal/job":                 {"db", "db/controldb"},                                                                                                                                              // long work: it does not know what is done
	"internal/usage":               {"db", "db/controldb", "db/tenantdb", "internal/audit", "internal/tenant", "repo"},                                                                                  // what tenants use, and their quotas; repo: a commit's number is a time
	"internal/limit":               {"db", "db/tenantdb"},                                                                                                                                               // counts by key: it knows neither callers nor methods
	"internal/certs":               {"internal/cache", "db", "db/controldb", "internal/keyring", "internal/tenant"},                                                                                     // certificates: rows of control, sealed; for whose names there may be one
	"internal/process":             {"db", "db/controldb"},                                                                                                                                              // who serves: rows of control
	"internal/due":                 {"db", "db/controldb", "db/tenantdb"},                                                                                                                               // what is due, by tenant and kind: it is handed the work
	"internal/tenant":              {"db", "db/controldb", "db/tenantdb", "internal/keyring", "internal/identity"},
	"internal/inbound":             {"internal/fair"},                                                                                                           // connections: it knows nothing of what is asked
	"internal/picture":             {"internal/fair", "internal/cache"},                                                                                         // bytes in, bytes out
	"internal/blob":                {"db", "db/controldb", "db/tenantdb", "internal/blob/store", "internal/keyring", "internal/tenant", "repo", "repo/dagcbor"}, // labels of stores; settings of the sweep; refs of records
	"internal/blob/store":          {"db", "internal/picture", "internal/trace"},                                                                                // where bytes are: of the database it knows the names of schemas
	"internal/blob/blobtest":       {"internal/freeport"},                                                                                                       // for tests: an S3 server
	"internal/account":             {"internal/cache", "internal/fair", "db", "db/tenantdb", "internal/syntax", "internal/tenant", "internal/keyring", "internal/identity", "internal/firehose", "repo", "repo/repodb"},
	"internal/passkey/passkeytest": {},                                                                                 // for tests: an authenticator
	"internal/operator":            {"db", "db/controldb", "internal/account", "internal/keyring", "internal/passkey"}, // who uses the dashboard: rows of control; codes of apps as accounts have them
	"internal/passkey":             {"db", "db/tenantdb", "internal/keyring"},                                          // questions and answers of WebAuthn, and the rows of keys; whose account it is, the act says
	"internal/auth":                {"internal/cache", "db", "db/controldb", "db/tenantdb", "internal/tenant", "internal/keyring", "internal/identity", "internal/account", "internal/oauth", "internal/oauth/dpop", "internal/oauth/scope"},
	"internal/device":              {"db", "db/tenantdb", "internal/auth", "internal/tenant"},                                                                                         // browsers, and which accounts are signed in there: an account as auth knows it
	"internal/proxy":               {"internal/auth", "internal/cache", "internal/contentcoding", "internal/fair", "db", "internal/identity", "internal/outbound", "internal/tenant"}, // calls of other services: tokens, places, whom settings and documents name
	"internal/mail/outbox":         {"db", "db/tenantdb", "internal/tenant", "internal/keyring", "internal/mail", "internal/trace"},                                                   // mail that waits, in the tenant's schema
	"internal/oauth/permissionset": {"internal/cache", "internal/identity", "internal/oauth/scope", "internal/outbound", "repo", "repo/car", "repo/dagcbor", "repo/mst"},              // lexicons, fetched and proved
	"internal/oauth":               {"db", "db/tenantdb", "internal/oauth/client", "internal/oauth/scope", "internal/syntax"},                                                         // rows and rules: it is handed transactions and keys

	"internal/proxy/afterwrite": {"db", "internal/account", "internal/fair", "internal/proxy", "internal/proxy/merge", "repo", "repo/repodb"}, // what an account has written, in answers to its calls

	"internal/archive":       {"db", "db/tenantdb", "internal/blob", "internal/keyring", "internal/tenant"}, // a tenant in a file: rows, files, and what is sealed; names of secrets
	"internal/archive/vault": {"internal/blob/store"},                                                       // where archives are kept: files under names

	"internal/doctor": {"db", "db/controldb", "internal/identity", "internal/outbound"}, // looks at servers, names and documents, and changes nothing but its own rows of what was found: it is handed what the database holds

	// acts
	"internal/act": {"internal/agent", "internal/doctor", "internal/operator", "internal/archive", "internal/archive/vault", "internal/passkey", "internal/fair", "db", "db/controldb", "db/tenantdb", "internal/job", "internal/account", "internal/audit", "internal/auth", "internal/certs", "internal/oauth", "internal/oauth/client", "internal/oauth/dpop", "internal/oauth/scope", "internal/blob", "internal/device", "internal/firehose", "internal/identity", "internal/keyring", "internal/limit", "internal/mail", "internal/mail/outbox", "internal/process", "internal/syntax", "internal/tenant", "internal/usage", "repo", "repo/repodb"}, // limit: mail in somebody's name is counted; process: a new master key waits until all who serve have it

	// protocol
	"openapi":       {},
	"internal/xrpc": {"internal/auth", "internal/contentcoding", "internal/fair", "internal/identity", "internal/inbound", "internal/lexicon", "internal/limit", "internal/syntax", "internal/tenant"}, // the engine: who calls, from where, what of; no act, no row, no database
	"handlers":      {"*"},

	"internal/web":          {"db", "internal/account", "internal/act", "internal/device", "internal/fair", "internal/tenant", "internal/xrpc"},                                                                                                                                                                                                  // a face: acts and reads; what rooms refuse with becomes a page
	"internal/web/signin":   {"internal/account", "internal/act", "internal/auth", "internal/device", "internal/identity", "internal/limit", "internal/oauth", "internal/oauth/client", "internal/oauth/scope", "internal/passkey", "internal/tenant", "internal/web", "internal/xrpc"},                                                          // a face: pages of a person who signs in or answers an app; limit: forms are counted, passkey and oauth: their refusals and what is asked for
	"internal/web/endpoint": {"db", "internal/act", "internal/auth", "internal/contentcoding", "internal/fair", "internal/limit", "internal/oauth", "internal/oauth/client", "internal/oauth/dpop", "internal/oauth/jose", "internal/oauth/scope", "internal/tenant", "internal/xrpc"},                                                           // a face: one act for each request; what rooms refuse with becomes an OAuth error
	"internal/web/account":  {"db", "internal/account", "internal/act", "internal/blob", "internal/device", "internal/fair", "internal/identity", "internal/limit", "internal/proxy", "internal/tenant", "internal/web", "internal/xrpc", "repo", "repo/repodb", "internal/agent", "internal/passkey", "internal/oauth", "internal/oauth/scope"}, // a face in the frame: downloads read repositories and files, and an appeal is sent to the service that reports go to

	"internal/web/console":     {"db", "db/tenantdb", "internal/account", "internal/act", "internal/archive", "internal/archive/vault", "internal/audit", "internal/auth", "internal/blob", "internal/doctor", "internal/due", "internal/identity", "internal/inbound", "internal/job", "internal/keyring", "internal/limit", "internal/mail", "internal/oauth", "internal/operator", "internal/passkey", "internal/process", "internal/syntax", "internal/tenant", "internal/usage", "internal/web", "internal/xrpc", "repo/repodb"}, // a face of operators: acts and reads; web: the look; what rooms refuse with becomes a page
	"internal/admin/admintest": {},                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                    // tests only, apart from the package that writes what their client is made from
	"internal/admin":           {"db", "internal/act", "internal/archive", "internal/archive/vault", "internal/audit", "internal/auth", "internal/doctor", "internal/inbound", "internal/job", "internal/keyring", "internal/limit", "internal/mail", "internal/tenant", "internal/usage", "internal/xrpc"},                                                                                                                                                                                                                           // a face of the deployment's operators: acts and reads; doctor: how long a proof counts; keyring: answers that are kept for a day are sealed; mail: its refusals; xrpc: the process has one form of Huma's errors

	// process
	"cmd/locus": {"*"},
}

// onlyIn names packages from elsewhere that have one room.
var onlyIn = map[string][]string{
	"github.com/jackc/pgx/v5/pgxpool":      {"db"},
	"github.com/danielgtaylor/huma/v2":     {"internal/xrpc", "handlers", "internal/admin", "openapi"},
	"github.com/go-jose/go-jose/v4":        {"internal/oauth/jose", "internal/oauth/oauthtest"},
	"github.com/alecthomas/kong":           {"cmd/locus", "cmd/pdsbench"},
	"github.com/pressly/goose/v3":          {"db"},
	"github.com/caddyserver/certmagic":     {"internal/certs"},
	"github.com/mholt/acmez/v3":            {"internal/certs"},
	"github.com/libdns/libdns":             {"internal/certs"},
	"github.com/miekg/dns":                 {"internal/certs"},
	"go.uber.org/zap":                      {"internal/certs"},
	"github.com/coder/websocket":           {"internal/xrpc", "cmd/pdsbench"},
	"github.com/wneessen/go-mail":          {"internal/mail"},
	"github.com/go-webauthn/webauthn":      {"internal/passkey"},
	"github.com/piglig/go-qr":              {"internal/web"},
	"net/http/pprof":                       {"cmd/locus"},
	"github.com/prometheus/client_golang":  {"internal/metrics"},
	"go.opentelemetry.io/otel":             {"internal/trace"},
	"go.opentelemetry.io/proto/otlp":       {"internal/trace"},
	"github.com/clipperhouse/uax29/v2":     {"internal/syntax"},
	"github.com/bluesky-social/indigo/mst": {}, // an oracle, for tests

	"github.com/bluesky-social/indigo/atproto/syntax":  {}, // oracles, too: ours are internal/syntax and internal/lexicon
	"github.com/bluesky-social/indigo/atproto/lexicon": {},
}

type listed struct {
	ImportPath string
	Imports    []string
}

// TestImportsGoDown holds the table above.
func TestImportsGoDown(t *testing.T) {
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports", module+"...")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	dec := json.NewDecoder(strings.NewReader(string(out)))
	seen := 0
	for {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimPrefix(p.ImportPath, module)
		if tool(name) {
			continue
		}
		seen++
		allowed, known := mayImport[name]
		if !known {
			t.Errorf("%s is not in the table: say what it may import, and why", name)
			continue
		}
		for _, imp := range p.Imports {
			if rest, ours := strings.CutPrefix(imp, module); ours {
				if !slices.Contains(allowed, rest) && !slices.Contains(allowed, "*") {
					t.Errorf("%s imports %s, which the table does not allow", name, rest)
				}
				if rest == "handlers" && name != "cmd/locus" {
					t.Errorf("%s imports handlers: only the process may", name)
				}
				continue
			}
			for theirs, rooms := range onlyIn {
				if (imp == theirs || strings.HasPrefix(imp, theirs+"/")) && !slices.Contains(rooms, name) {
					t.Errorf("%s imports %s, whose room is %v", name, imp, rooms)
				}
			}
		}
	}
	if seen < 5 {
		t.Fatalf("go list saw only %d packages", seen)
	}
}

// tool tells the packages that stand outside the server.
func tool(name string) bool {
	return strings.HasPrefix(name, "openapi/clients/") || strings.HasPrefix(name, "internal/gen/") || name == "cmd/pdsbench" || name == "internal/attack" || name == "internal/scale" || name == "internal/trial" || strings.HasPrefix(name, "internal/drill") || strings.HasPrefix(name, "internal/suite") || strings.HasPrefix(name, "internal/bench")
}

// mayMakeClients says who makes HTTP clients: everybody else is handed one that outbound made.
var mayMakeClients = []string{
	"internal/outbound",
	"internal/blob", // S3 is at the operator's own address, and its library brings the client
}

// TestClientsOnlyInOutbound: who could make a client of his own, or use the one without a guard, could be sent anywhere.
func TestClientsOnlyInOutbound(t *testing.T) {
	made := regexp.MustCompile(`[^*\w]http\.(Client|Transport)\{|new\(http\.(Client|Transport)\)|http\.(DefaultClient|DefaultTransport|Get|Head|Post|PostForm)\b|var \w+ http\.(Client|Transport)\b`)
	root := filepath.Join("..", "..")
	seen := 0
	err := filepath.WalkDir(root, func(file string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || filepath.Ext(file) != ".go" || strings.HasSuffix(file, "_test.go") {
			return err
		}
		room, err := filepath.Rel(root, filepath.Dir(file))
		if err != nil {
			return err
		}
		room = filepath.ToSlash(room)
		above := strings.TrimSuffix(room, "/"+path.Base(room))
		if tool(room) || slices.Contains(mayMakeClients, room) || slices.Contains(mayMakeClients, above) {
			return nil
		}
		text, err := os.ReadFile(file)
		if found := made.Find(text); found != nil {
			t.Errorf("%s has %s: the way out is internal/outbound", file, found)
		}
		seen++
		return err
	})
	if err != nil || seen < 100 {
		t.Fatalf("%d files looked at: %v", seen, err)
	}
}

// TestNamesOfRooms refuses the names that say nothing.
func TestNamesOfRooms(t *testing.T) {
	out, err := exec.Command("go", "list", module+"...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for _, p := range strings.Fields(string(out)) {
		switch path.Base(p) {
		case "util", "utils", "common", "types", "models", "service", "core", "pkg", "context":
			t.Errorf("%s: a package is named for what it owns", p)
		}
	}
}
