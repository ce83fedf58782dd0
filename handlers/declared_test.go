package handlers

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/auroralocus/locus/internal/xrpc"
)

// impossible are declared errors that this server has no reason to give, "method name", or "* name" for all that declare
// it. One that is seen all the same is a failure.
var impossible = map[string]string{
	"* RepoSuspended": "accounts are taken down or deactivated here: nothing suspends one",
	"com.atproto.sync.getRecord RecordNotFound":                "the answer proves that there is none, as the reference's does",
	"com.atproto.server.deleteSession ExpiredToken":            "a token past its time signs out as well",
	"com.atproto.server.getAccountInviteCodes DuplicateCreate": "of two calls at once the second waits, and finds the first one's codes",
}

func TestMain(m *testing.M) {
	code := m.Run()
	set := func(name string) bool {
		f := flag.Lookup("test." + name)
		return f != nil && f.Value.String() != f.DefValue
	}
	filtered := set("run") || set("skip") || set("list") || set("fuzz") || set("count") && flag.Lookup("test.count").Value.String() == "0"
	problems := undeclaredAnswers()
	if code == 0 && !filtered {
		problems = append(problems, unseenErrors()...)
	}
	for _, p := range problems {
		fmt.Fprintln(os.Stderr, "    declared errors:", p)
	}
	if told := toldStrangers(); len(told) > 0 {
		fmt.Fprintf(os.Stderr, "    %s\nFAIL: errors tell strangers what is none of their business (tells_test.go)\n", strings.Join(told, "\n    "))
		code = max(code, 1)
	}
	if len(problems) > 0 {
		fmt.Fprintln(os.Stderr, "FAIL: what methods may answer stands in declared.go, and each of it has a test that provokes it by status and name.")
		code = max(code, 1)
	}
	os.Exit(code)
}

// mayAnswer tells whether a method's error is one that it declares.
func mayAnswer(op *xrpc.Operation, k xrpc.ErrorKind) bool {
	return slices.Contains(op.Declared(), k) || slices.Contains(gateErrors[op.Class], k) || slices.Contains(generalErrors, k)
}

// undeclaredAnswers holds what was answered against what is declared.
func undeclaredAnswers() (problems []string) {
	ops := New(testDeps(new(witness))).Operations
	for a, what := range answers.kinds {
		k := xrpc.ErrorOf(a.status, a.name)
		if op := ops[a.nsid]; op == nil || !mayAnswer(op, k) {
			problems = append(problems, fmt.Sprintf("%s answered %s (in %s) and does not declare it: a line in declared.go, or another name", a.nsid, k, what))
		}
	}
	slices.Sort(problems)
	return problems
}

// unseenErrors are those that no test provoked, and wrong entries of impossible. It is called when all tests have run.
func unseenErrors() (problems []string) {
	ops := New(testDeps(new(witness))).Operations
	provokes := func(nsid string, k xrpc.ErrorKind, gate bool) bool {
		return wanted.kinds[answered{nsid, k.Status, k.Name, gate}]
	}
	seen := func(nsid string, k xrpc.ErrorKind, gate bool) bool {
		_, ok := answers.kinds[answered{nsid, k.Status, k.Name, gate}]
		return ok
	}
	pairs, provoked, used := 0, 0, map[string]bool{}
	byClass := map[string][]*xrpc.Operation{}
	for _, op := range ops {
		byClass[op.Class] = append(byClass[op.Class], op)
		for _, k := range op.Declared() {
			pairs++
			// Where these are declared, they are of mailed tokens: the gate's say nothing of them.
			gates := op.Class == "refresh" || k.Name != "InvalidToken" && k.Name != "ExpiredToken"
			of := func(by func(string, xrpc.ErrorKind, bool) bool) bool {
				return by(op.NSID, k, false) || gates && by(op.NSID, k, true)
			}
			entry := op.NSID + " " + k.Name
			if impossible[entry] == "" {
				entry = "* " + k.Name
			}
			_, excused := impossible[entry]
			used[entry] = true
			switch {
			case excused && of(seen):
				problems = append(problems, fmt.Sprintf("%s answers %s after all: %q goes out of impossible", op.NSID, k, entry))
			case of(provokes):
				provoked++
			case !excused:
				problems = append(problems, fmt.Sprintf("no test provokes %s of %s: one that calls it on a house (house_test.go) and wants r.fails(%d, %q, …)", k, op.NSID, k.Status, k.Name))
			}
		}
	}
	for entry := range impossible {
		if !used[entry] {
			problems = append(problems, fmt.Sprintf("%q in impossible is declared nowhere", entry))
		}
	}
	for class, list := range byClass {
		for _, k := range gateErrors[class] {
			if !slices.ContainsFunc(list, func(op *xrpc.Operation) bool { return provokes(op.NSID, k, true) }) {
				problems = append(problems, fmt.Sprintf("no test provokes %s of the methods for class %s", k, class))
			}
		}
	}
	for _, k := range generalErrors {
		found := false
		for a := range wanted.kinds {
			found = found || a.status == k.Status && a.name == k.Name
		}
		for a, what := range answers.kinds { // who has gone reads no answer
			found = found || k.Status == xrpc.ErrClientGone.GetStatus() && a.status == k.Status && !byChance(what)
		}
		if !found {
			problems = append(problems, fmt.Sprintf("no test provokes %s of any method", k))
		}
	}
	if len(problems) == 0 {
		fmt.Printf("declared errors: %d of %d methods, %d provoked, the others impossible for %d reasons; %d kinds of answers were seen\n", pairs, len(ops), provoked, len(impossible), len(answers.kinds))
	}
	slices.SortFunc(problems, cmp.Compare[string])
	return problems
}

// answered is one kind of error answer that a house gave.
type answered struct {
	nsid   string
	status int // 0: an error in a stream
	name   string
	gate   bool // by the gate: no handler ran
}

// wanted are the kinds of error answers that a test asked for by status and name and got: those that come along with
// something else prove nothing.
var wanted = struct {
	sync.Mutex
	kinds map[answered]bool
}{kinds: map[answered]bool{}}

func recordWanted(a answered) {
	wanted.Lock()
	defer wanted.Unlock()
	wanted.kinds[a] = true
}

// answers is every kind of error answer that any house of this run gave, and the first request that got it.
var answers = struct {
	sync.Mutex
	kinds map[answered]string
}{kinds: map[answered]string{}}

func recordAnswer(a answered, what string) {
	answers.Lock()
	defer answers.Unlock()
	if first, ok := answers.kinds[a]; !ok || byChance(first) {
		answers.kinds[a] = what
	}
}

// byChance tells of an answer that another run may not give.
func byChance(what string) bool { return strings.HasPrefix(what, "TestRandomRequests") }

// recordStreamError is for errors that are messages of a stream, where a test waits for one.
func recordStreamError(nsid, name string) {
	a := answered{nsid: nsid, name: name}
	recordAnswer(a, "stream")
	recordWanted(a)
}

type gateKey struct{}

// byGate is a header of an answer that the gate gave and no handler.
const byGate = "X-Test-Gate"

// markGate notes that the gate gave an answer.
func markGate(w http.ResponseWriter, r *http.Request) {
	if refused, ok := r.Context().Value(gateKey{}).(*bool); ok {
		*refused = true
		w.Header().Set(byGate, "1")
	}
}

// listen puts itself before the house's server: all that tests are told by a method goes through here.
func (h *house) listen() http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		nsid := strings.TrimPrefix(r.URL.Path, "/xrpc/")
		refused := false
		rec := &recorder{ResponseWriter: w, hurried: r.Header.Get(hurry) != ""}
		asked := &heard{body: r.Body}
		r.Body = asked
		h.server.ServeHTTP(rec, r.WithContext(context.WithValue(r.Context(), gateKey{}, &refused)))
		what := h.t.Name() + ": " + r.Method + " " + r.URL.Path
		if rec.status >= 400 {
			query, _ := url.QueryUnescape(r.URL.RawQuery)
			holdAnswer(what, string(rec.plain()), fmt.Sprint(query, r.URL.Path, r.Host, r.Header, string(asked.kept)))
		}
		if name := rec.errorName(); name != "" && h.server.Operations[nsid] != nil {
			recordAnswer(answered{nsid, rec.status, name, refused}, what)
		}
	}
}

// heard keeps the beginning of a body.
type heard struct {
	body io.ReadCloser
	kept []byte
}

func (h *heard) Read(p []byte) (int, error) {
	n, err := h.body.Read(p)
	h.kept = append(h.kept, p[:min(n, max(0, 64<<10-len(h.kept)))]...)
	return n, err
}

func (h *heard) Close() error { return h.body.Close() }

// recorder keeps the answer when it is an error.
type recorder struct {
	http.ResponseWriter
	status  int
	body    []byte
	hurried bool
}

func (w *recorder) WriteHeader(status int) {
	if w.status == 0 && status >= 200 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *recorder) Write(p []byte) (int, error) {
	if w.status >= 400 {
		w.body = append(w.body, p...)
	}
	return w.ResponseWriter.Write(p)
}

// plain is the body as it was before it was packed.
func (w *recorder) plain() []byte {
	body := w.body
	if w.Header().Get("Content-Encoding") == "gzip" {
		if z, err := gzip.NewReader(bytes.NewReader(body)); err == nil {
			body, _ = io.ReadAll(z)
		}
	}
	return body
}

func (w *recorder) errorName() string {
	if w.status < 400 {
		return ""
	}
	var e struct{ Error string }
	if err := json.Unmarshal(w.plain(), &e); err != nil || e.Error == "" {
		return "(an answer without a name)"
	}
	return e.Error
}

// hurry is a request's header by which a test shortens the time that its body may take.
const hurry = "X-Test-Hurry"

// SetReadDeadline is what the server calls through Unwrap otherwise.
func (w *recorder) SetReadDeadline(deadline time.Time) error {
	if w.hurried && !deadline.IsZero() {
		deadline = time.Now().Add(100 * time.Millisecond)
	}
	return http.NewResponseController(w.ResponseWriter).SetReadDeadline(deadline)
}

// What net/http's own writer can do beside answering stays possible.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }
func (w *recorder) Flush()                      { w.ResponseWriter.(http.Flusher).Flush() }
func (w *recorder) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return w.ResponseWriter.(http.Hijacker).Hijack()
}
func (w *recorder) ReadFrom(src io.Reader) (int64, error) {
	return w.ResponseWriter.(io.ReaderFrom).ReadFrom(src)
}
