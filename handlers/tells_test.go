package handlers

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Rules of what a stranger is told by an error, and of what strangers' mistakes may write into the log. Every error answer
// of every test in this package is held against them: the house's server tells them here (see listen), and TestMain fails.

// untellable are texts that no error answer has, and what they give away.
var untellable = []struct {
	what string
	re   *regexp.Regexp
}{
	{"a schema or table of ours", regexp.MustCompile(`\bt_\d+\b|\bpds_tenant\b|\bcontrol\.[a-z]|\b(actor|repo_head|mst_node|repo_event|stream_head|blob_store)\b (table|row|lock)`)},
	{"an account's number", regexp.MustCompile(`(?i)\baid\b|\baccount \d+\b`)},
	{"Go's formatting", regexp.MustCompile(`%!|<nil>|&\{|map\[|0xc0[0-9a-f]{6}|\[\]byte|struct \{`)},
	{"a name in Go code", regexp.MustCompile(`\b(errors|fmt|json|jsontext|url|http|pgx|pgconn|pgtype|strconv|io|os|syscall|netip|base64|hex|multibase|huma|atcrypto|didplc|syntax|repodb|keyring|outbox|dagcbor|tenantdb|controldb)\.[A-Z]|\b(json|jsontext|strconv|url|multihash|multibase|varint|cid|cbor|dagcbor|mst|car|repodb|db|pgx|atcrypto|syntax|huma|base64|hex|asn1|x509|tls|http|net|os|io|time): `)},
	{"a package's own error", regexp.MustCompile(`unexpected EOF|: EOF|context (deadline exceeded|canceled)|deadline exceeded|connection (refused|reset)|no such host|\bdial (tcp|udp)|\blookup |invalid character|cannot unmarshal|parsing "|runtime error|goroutine|i/o timeout|broken pipe|no such file|permission denied|not a directory|file already closed|out of range \[|illegal base64|encoding/`)},
	{"SQL", regexp.MustCompile(`SQLSTATE|(?i)\bselect .* from\b|\binsert into\b|\bdelete from\b|relation "|violates|duplicate key|syntax error|column "|ERROR:|FATAL:`)},
	{"a path or line of code", regexp.MustCompile(`(^|[\s"'(=:])/(tmp|work|var|home|root|etc|usr|proc|data|dev|run|opt)/|\.go:\d`)},
	{"an address inside", regexp.MustCompile(`127\.0\.0\.1:\d|\[::1\]:\d|\.s\.PGSQL`)},
	{"a password", regexp.MustCompile(regexp.QuoteMeta(userPassword) + "|" + regexp.QuoteMeta(adminPassword))},
}

// told says what is wrong with the text of an error answer. asked is what the client sent: it may hear it again.
func told(answer, asked string) (wrong []string) {
	for _, rule := range untellable {
		for _, found := range rule.re.FindAllString(answer, -1) {
			if rule.what == "a password" || !strings.Contains(asked, strings.TrimSpace(found)) {
				wrong = append(wrong, fmt.Sprintf("%s: %q", rule.what, found))
			}
		}
	}
	return wrong
}

// leaks are the breaches of this run, each once.
var leaks = struct {
	sync.Mutex
	found    map[string]bool
	harmless map[string]bool // answers in which no rule finds anything: most are given again and again
	answers  int
}{found: map[string]bool{}, harmless: map[string]bool{}}

// holdAnswer holds an error answer against the rules.
func holdAnswer(what, answer, asked string) {
	leaks.Lock()
	leaks.answers++
	known := leaks.harmless[answer]
	leaks.Unlock()
	if known {
		return
	}
	all := told(answer, "")
	leaks.Lock()
	defer leaks.Unlock()
	if len(all) == 0 {
		leaks.harmless[answer] = true
		return
	}
	for _, w := range told(answer, asked) {
		leaks.found[fmt.Sprintf("%s tells %s in %.300s", what, w, answer)] = true
	}
}

// mistake is a line of the log about a caller's mistake, which is answered with less than 500 and is no failure of ours.
var mistake = regexp.MustCompile(`level=(ERROR|WARN).* status=4\d\d\b`)

// holdLog holds a line of the log.
func holdLog(test, line string) {
	if mistake.MatchString(line) {
		leaks.Lock()
		defer leaks.Unlock()
		leaks.found[fmt.Sprintf("%s: a caller's mistake in the log: %.300s", test, line)] = true
	}
}

// toldStrangers are the breaches of all tests that ran.
func toldStrangers() []string {
	leaks.Lock()
	defer leaks.Unlock()
	var list []string
	for l := range leaks.found {
		list = append(list, l)
	}
	slices.Sort(list)
	fmt.Fprintf(os.Stderr, "%d error answers were held against %d rules of what strangers are told\n", leaks.answers, len(untellable))
	return list
}

// TestTold: the rules find what they are for, and a client may hear its own words again.
func TestTold(t *testing.T) {
	for _, bad := range []string{
		"Import of t_1/26: the archive cannot be imported", "Record was at %!s(<nil>)", `ERROR: duplicate key value violates unique constraint "actor_handle" (SQLSTATE 23505)`,
		"open /tmp/locus-import-1: no such file or directory", "car: archive ends inside a section", "Get \"https://x\": dial tcp 127.0.0.1:1: connect: connection refused",
		"json: cannot unmarshal string into Go value of type int", "lock account 26", "the password " + userPassword,
	} {
		if len(told(bad, "")) == 0 {
			t.Errorf("no rule minds %q", bad)
		}
		if bad != "" && !strings.Contains(bad, userPassword) && len(told(bad, bad)) != 0 {
			t.Errorf("a client that says so may not hear %q", bad)
		}
	}
	for _, good := range []string{"Could not find repo: did:plc:abc", "Invalid app.bsky.feed.post record: text must be at most 3000 bytes", "Record was at bafyreigwfixzsu2wtr52mbwjmifqekbfhypxp6qqgcw5bdx3wsgfqpfabq"} {
		if w := told(good, ""); len(w) != 0 {
			t.Errorf("%q: %v", good, w)
		}
	}
}

// TestFailuresElsewhere: hosts that strangers name and that do not answer are one line in the log, not one each.
func TestFailuresElsewhere(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	const calls = 20
	for port := range calls {
		h.get(hostA, "com.atproto.identity.resolveDid", "", "did", fmt.Sprintf("did:web:localhost%%3A%d", port+1)).fails(502, "UpstreamFailure", "does not answer")
	}
	lines := func() (n int, last string) {
		for _, line := range *h.log.text.Load() {
			if strings.Contains(line, "request failed") {
				n, last = n+1, line
			}
		}
		return n, last
	}
	if n, last := lines(); n != 1 || !strings.Contains(last, "level=WARN") {
		t.Errorf("%d lines about %d hosts that do not answer: %s", n, calls, last)
	}
	h.clock.add(time.Minute)
	h.get(hostA, "com.atproto.identity.resolveDid", "", "did", "did:web:localhost%3A99").fails(502, "UpstreamFailure", "does not answer")
	if n, last := lines(); n != 2 || !strings.Contains(last, fmt.Sprint("unsaid=", calls-1)) {
		t.Errorf("a while later: %d lines: %s", n, last)
	}
}
