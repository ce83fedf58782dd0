package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// A plan is what a workload needs to know to make its requests.
type plan struct {
	t          *target
	setup      *setup
	accounts   []*account
	shape      recordShape
	clients    int
	records    int // records that every account has already
	batch      int // writes of one applyWrites
	limit      int // page size of listRecords
	blobSize   int // bytes of a file
	answerSize int // bytes of a proxied answer
	nonce      string
	reverse    bool // listRecords oldest first
}

// A source makes the requests of one client, one after the other; the request is valid until the next call. ok is false when there is
// nothing more to do.
type source func() (request []byte, ok bool)

// A workload is one kind of operation.
type workload struct {
	name, help string
	accounts   bool // needs accounts with sessions
	records    int  // how many records every account needs, when --records does not say
	files      bool // is about files of --blob-size
	proxied    bool // is about answers of --answer-sizes that --upstream makes
	blobs      bool // needs one in every account
	fresh      bool // uses its records up: they are made anew for each run
	acked      bool // answers carry uri and cid and are checked after the run
	writes     func(p *plan) int
	source     func(p *plan, client int) (source, error)
}

var workloads = []*workload{
	{name: "create-account", help: "com.atproto.server.createAccount with a new did:plc", source: createAccount},
	{name: "create-session", help: "com.atproto.server.createSession by DID and password", accounts: true, source: createSession},
	{name: "create-record", help: "com.atproto.repo.createRecord, each client on accounts of its own while there are enough", accounts: true, acked: true, writes: one, source: createRecord},
	{name: "apply-writes", help: "com.atproto.repo.applyWrites with --batch creates", accounts: true, writes: func(p *plan) int { return p.batch }, source: applyWrites},
	{name: "put-record", help: "com.atproto.repo.putRecord, updates of existing records", accounts: true, records: 100, writes: one, source: putRecord},
	{name: "delete-record", help: "com.atproto.repo.deleteRecord of existing records, until none is left", accounts: true, records: 200, fresh: true, writes: one, source: deleteRecord},
	{name: "get-record", help: "com.atproto.repo.getRecord of random records of random accounts", accounts: true, records: 100, source: getRecord},
	{name: "list-records", help: "com.atproto.repo.listRecords, random pages of --limit of random accounts", accounts: true, records: 200, source: listRecords},
	{name: "get-repo", help: "com.atproto.sync.getRepo of random accounts, whole", accounts: true, records: 1000, source: getRepo},
	{name: "upload-blob", help: "com.atproto.repo.uploadBlob of files of --blob-size", accounts: true, files: true, source: uploadBlob},
	{name: "get-blob", help: "com.atproto.sync.getBlob of a file of --blob-size of random accounts", accounts: true, files: true, blobs: true, source: getBlob},
	{name: "proxied", help: "calls of a method that the server hands on to the stand-in at --upstream, with answers of --answer-sizes, beside calls of the stand-in itself", accounts: true, proxied: true, source: proxied},
	{name: "proxied-new", help: "the same, each call of a method of its own, so that the server needs a new service token", accounts: true, proxied: true, source: proxiedNew},
	{name: "health", help: "/xrpc/_health: the floor of the server's HTTP and of this program", source: health},
}

func one(*plan) int { return 1 }

func findWorkload(name string) *workload {
	i := slices.IndexFunc(workloads, func(w *workload) bool { return w.name == name })
	if i < 0 {
		return nil
	}
	return workloads[i]
}

func workloadNames() string {
	names := make([]string, len(workloads))
	for i, w := range workloads {
		names[i] = w.name
	}
	return strings.Join(names, ",")
}

func workloadHelp() string {
	var b strings.Builder
	for i, w := range workloads {
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(w.name + ": " + w.help)
	}
	return b.String()
}

// own are the accounts of one client: every clients-th, so that no two clients share one while there are enough accounts.
func (p *plan) own(client int) []int {
	var own []int
	for i := client; i < len(p.accounts); i += p.clients {
		own = append(own, i)
	}
	if own == nil {
		own = []int{client % len(p.accounts)}
	}
	return own
}

// firstNumber is where a client's numbers start; ten million operations later the next client's begin.
func firstNumber(client int) int64 { return int64(client) * 10_000_000 }

// post makes a procedure's template for each of the accounts. body gets the account's DID.
func (p *plan) post(nsid string, accounts []int, numbers, keys int, body func(did string) string) ([]*template, error) {
	out := make([]*template, len(accounts))
	for i, n := range accounts {
		a := p.accounts[n]
		did, err := quoted(a.DID)
		if err != nil {
			return nil, err
		}
		if out[i], err = newTemplate(p.t.encode("POST", nsid, "", a.bearer(), "application/json", []byte(body(did))), n, numbers, keys); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// get makes a query's template for every account.
func (p *plan) get(nsid string, keys int, query func(did string) string) ([]*template, error) {
	out := make([]*template, len(p.accounts))
	for i, a := range p.accounts {
		did, err := quoted(a.DID)
		if err != nil {
			return nil, err
		}
		if out[i], err = newTemplate(p.t.encode("GET", nsid, query(did), "", "", nil), i, 0, keys); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// turns goes through templates with rising numbers.
func turns(ts []*template, client int) source {
	n, i := firstNumber(client), 0
	return func() ([]byte, bool) {
		t := ts[i%len(ts)]
		i++
		t.number(n)
		n += int64(len(t.numbers))
		return t.raw, true
	}
}

func createAccount(p *plan, client int) (source, error) {
	body, err := json.Marshal(p.setup.named("b" + p.nonce + numberMark))
	if err != nil {
		return nil, err
	}
	t, err := newTemplate(p.t.encode("POST", "com.atproto.server.createAccount", "", "", "application/json", body), 0, 2, 0)
	if err != nil {
		return nil, err
	}
	return turns([]*template{t}, client), nil
}

func createSession(p *plan, client int) (source, error) {
	own := p.own(client)
	ts := make([]*template, len(own))
	for i, n := range own {
		a := p.accounts[n]
		body, err := json.Marshal(map[string]string{"identifier": a.DID, "password": a.Password})
		if err != nil {
			return nil, err
		}
		if ts[i], err = newTemplate(p.t.encode("POST", "com.atproto.server.createSession", "", "", "application/json", body), n, 0, 0); err != nil {
			return nil, err
		}
	}
	return turns(ts, client), nil
}

func createRecord(p *plan, client int) (source, error) {
	record := string(p.shape.encode(p.nonce, numberMark))
	ts, err := p.post("com.atproto.repo.createRecord", p.own(client), 1, 0, func(did string) string {
		return fmt.Sprintf(`{"repo":"%s","collection":"%s","record":%s}`, did, p.shape.collection, record)
	})
	if err != nil {
		return nil, err
	}
	return turns(ts, client), nil
}

func applyWrites(p *plan, client int) (source, error) {
	write := fmt.Sprintf(`{"$type":"com.atproto.repo.applyWrites#create","collection":"%s","value":%s}`, p.shape.collection, p.shape.encode(p.nonce, numberMark))
	writes := strings.Repeat(write+",", p.batch-1) + write
	ts, err := p.post("com.atproto.repo.applyWrites", p.own(client), p.batch, 0, func(did string) string {
		return fmt.Sprintf(`{"repo":"%s","writes":[%s]}`, did, writes)
	})
	if err != nil {
		return nil, err
	}
	return turns(ts, client), nil
}

func putRecord(p *plan, client int) (source, error) {
	record := string(p.shape.encode(p.nonce, numberMark))
	ts, err := p.post("com.atproto.repo.putRecord", p.own(client), 1, 1, func(did string) string {
		return fmt.Sprintf(`{"repo":"%s","collection":"%s","rkey":"%s","record":%s}`, did, p.shape.collection, keyMark, record)
	})
	if err != nil {
		return nil, err
	}
	n, i := firstNumber(client), 0
	return func() ([]byte, bool) {
		t := ts[i%len(ts)]
		t.number(n)
		t.key(0, prefillKey(p.shape.size, i/len(ts)%p.records))
		n++
		i++
		return t.raw, true
	}, nil
}

// deleteKeys are the keys of the records that a run of delete-record makes and deletes: named after the run, so that every run has its own.
func deleteKeys(nonce string) func(size, i int) string {
	var start int64
	for _, c := range nonce {
		start = start*36 + int64(strings.IndexRune(base36, c))
	}
	return func(_, i int) string { return tid(1_600_000_000_000_000+start*1_000_000+int64(i), 1) }
}

func deleteRecord(p *plan, client int) (source, error) {
	own := p.own(client)
	ts, err := p.post("com.atproto.repo.deleteRecord", own, 0, 1, func(did string) string {
		return fmt.Sprintf(`{"repo":"%s","collection":"%s","rkey":"%s"}`, did, p.shape.collection, keyMark)
	})
	if err != nil {
		return nil, err
	}
	// Clients that share an account take every n-th record of it.
	sharers := max(1, (p.clients-1-client%len(p.accounts))/len(p.accounts)+1)
	first := client / len(p.accounts)
	if p.clients <= len(p.accounts) {
		sharers, first = 1, 0
	}
	key := deleteKeys(p.nonce)
	i := 0
	return func() ([]byte, bool) {
		n := first + i/len(ts)*sharers
		if n >= p.records {
			return nil, false
		}
		t := ts[i%len(ts)]
		t.key(0, key(0, n))
		i++
		return t.raw, true
	}, nil
}

// random picks templates at random, the same ones in every run.
func random(ts []*template, client int, change func(t *template, r *rand.Rand)) source {
	r := rand.New(rand.NewPCG(1, uint64(client)))
	return func() ([]byte, bool) {
		t := ts[r.IntN(len(ts))]
		if change != nil {
			change(t, r)
		}
		return t.raw, true
	}
}

func getRecord(p *plan, client int) (source, error) {
	ts, err := p.get("com.atproto.repo.getRecord", 1, func(did string) string {
		return "repo=" + did + "&collection=" + p.shape.collection + "&rkey=" + keyMark
	})
	if err != nil {
		return nil, err
	}
	return random(ts, client, func(t *template, r *rand.Rand) { t.key(0, prefillKey(p.shape.size, r.IntN(p.records))) }), nil
}

func listRecords(p *plan, client int) (source, error) {
	order := ""
	if p.reverse {
		order = "&reverse=true"
	}
	ts, err := p.get("com.atproto.repo.listRecords", 1, func(did string) string {
		return fmt.Sprintf("repo=%s&collection=%s&limit=%d%s&cursor=%s", did, p.shape.collection, p.limit, order, keyMark)
	})
	if err != nil {
		return nil, err
	}
	// A full page lies behind each of these cursors: below them, newest first, or above them.
	span := max(1, p.records-p.limit)
	return random(ts, client, func(t *template, r *rand.Rand) {
		i := r.IntN(span)
		if !p.reverse {
			i = p.records - 1 - i
		}
		t.key(0, prefillKey(p.shape.size, i))
	}), nil
}

func getRepo(p *plan, client int) (source, error) {
	ts, err := p.get("com.atproto.sync.getRepo", 0, func(did string) string { return "did=" + did })
	if err != nil {
		return nil, err
	}
	return random(ts, client, nil), nil
}

func health(p *plan, client int) (source, error) {
	t, err := newTemplate(p.t.encode("GET", "_health", "", "", "", nil), 0, 0, 0)
	if err != nil {
		return nil, err
	}
	return turns([]*template{t}, client), nil
}
