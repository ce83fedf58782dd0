package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// memoryPDS speaks the methods that the workloads use, over maps. It is strict about what it is sent, so that a wrong request fails here.
type memoryPDS struct {
	t       *testing.T
	invites bool   // wants invite codes
	lossy   bool   // acknowledges creates that it does not keep
	behind  string // URL of the service that calls are handed on to

	mu      sync.Mutex
	handles map[string]string            // handle → DID
	repos   map[string]map[string]string // DID → path → text of the record
	calls   map[string]int
	hosts   map[string]bool
	blobs   map[string]bool   // what was uploaded
	files   map[string]string // DID → the file its record names
	serial  int
}

func startMemoryPDS(t *testing.T) (*memoryPDS, string) {
	t.Helper()
	m := &memoryPDS{t: t, handles: map[string]string{}, repos: map[string]map[string]string{}, calls: map[string]int{}, hosts: map[string]bool{}, blobs: map[string]bool{}, files: map[string]string{}}
	s := httptest.NewServer(m)
	t.Cleanup(s.Close)
	return m, s.URL
}

type refusal struct {
	status        int
	name, message string
}

func (m *memoryPDS) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.mu.Lock()
	defer m.mu.Unlock()
	nsid := strings.TrimPrefix(r.URL.Path, "/xrpc/")
	m.calls[nsid]++
	m.hosts[r.Host] = true
	var in map[string]any
	if strings.HasPrefix(nsid, "com.example.bench.") {
		m.handOn(w, r)
		return
	}
	if nsid == "com.atproto.repo.uploadBlob" {
		body, err := io.ReadAll(r.Body)
		if err != nil || len(body) != 1000 || r.Header.Get("Content-Type") != blobType || m.blobs[string(body)] || strings.Contains(string(body), numberMark) {
			m.refuse(w, refusal{400, "InvalidRequest", "bad or repeated file"})
			return
		}
		m.blobs[string(body)] = true
		fmt.Fprintf(w, `{"blob":{"$type":"blob","ref":{"$link":"file%d"},"mimeType":"a/b","size":1000}}`, len(m.blobs))
		return
	}
	if r.Method == "POST" {
		if r.Header.Get("Content-Type") != "application/json" || json.NewDecoder(r.Body).Decode(&in) != nil {
			m.refuse(w, refusal{400, "InvalidRequest", "not JSON"})
			return
		}
	}
	out, err := m.answer(nsid, r, in)
	if err != nil {
		m.refuse(w, *err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(out)
}

// handOn hands a call on, with the answer as it comes.
func (m *memoryPDS) handOn(w http.ResponseWriter, r *http.Request) {
	if !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer e30.") || strings.Contains(r.URL.Path, numberMark) {
		m.refuse(w, refusal{401, "AuthMissing", "no token, or no number"})
		return
	}
	res, err := http.Get(m.behind + r.URL.RequestURI())
	if err != nil {
		m.refuse(w, refusal{502, "UpstreamFailure", err.Error()})
		return
	}
	defer res.Body.Close()
	w.WriteHeader(res.StatusCode)
	_, _ = io.Copy(w, res.Body)
}

func (m *memoryPDS) refuse(w http.ResponseWriter, e refusal) {
	w.WriteHeader(e.status)
	json.NewEncoder(w).Encode(map[string]string{"error": e.name, "message": e.message})
}

// token is a JWT in form only, good for two hours.
func token(did string) string {
	return "e30." + rawBase64(fmt.Sprintf(`{"sub":%q,"exp":%d}`, did, time.Now().Add(2*time.Hour).Unix())) + ".c2ln"
}

func (m *memoryPDS) answer(nsid string, r *http.Request, in map[string]any) (any, *refusal) {
	str := func(k string) string { s, _ := in[k].(string); return s }
	q := r.URL.Query()
	switch nsid {
	case "_health":
		return map[string]string{"version": "memory"}, nil
	case "com.atproto.server.describeServer":
		return map[string]any{"availableUserDomains": []string{".test"}, "inviteCodeRequired": m.invites}, nil
	case "com.atproto.server.createInviteCode":
		if _, pw, ok := r.BasicAuth(); !ok || pw != "secret" {
			return nil, &refusal{401, "AuthenticationRequired", "who?"}
		}
		return map[string]string{"code": "inv-ite"}, nil
	case "com.atproto.server.createAccount":
		h := str("handle")
		label := strings.TrimSuffix(h, ".test")
		if m.handles[h] != "" || len(label) > 18 || str("password") == "" || !strings.Contains(str("email"), "@") {
			return nil, &refusal{400, "InvalidHandle", h}
		}
		if m.invites && str("inviteCode") != "inv-ite" {
			return nil, &refusal{400, "InvalidInviteCode", "no"}
		}
		m.serial++
		did := fmt.Sprintf("did:plc:%024d", m.serial)
		m.handles[h], m.repos[did] = did, map[string]string{}
		return map[string]string{"did": did, "handle": h, "accessJwt": token(did)}, nil
	case "com.atproto.server.createSession":
		if m.repos[str("identifier")] == nil || str("password") == "" {
			return nil, &refusal{401, "AuthenticationRequired", "Invalid identifier or password"}
		}
		return map[string]string{"did": str("identifier"), "accessJwt": token(str("identifier"))}, nil
	case "com.atproto.server.getSession":
		return map[string]string{}, nil
	case "com.atproto.sync.getBlob":
		if m.files[q.Get("did")] == "" || m.files[q.Get("did")] != q.Get("cid") {
			return nil, &refusal{400, "BlobNotFound", q.Get("cid")}
		}
		return "bytes", nil
	case "com.atproto.sync.getRepo":
		if m.repos[q.Get("did")] == nil {
			return nil, &refusal{400, "RepoNotFound", q.Get("did")}
		}
		return m.repos[q.Get("did")], nil
	}
	did := q.Get("repo") + str("repo")
	repo := m.repos[did]
	if repo == nil {
		return nil, &refusal{400, "InvalidRequest", "Could not find repo: " + did}
	}
	if r.Method == "POST" && r.Header.Get("Authorization") != "Bearer "+token(did) && !strings.Contains(r.Header.Get("Authorization"), "e30.") {
		return nil, &refusal{401, "AuthenticationRequired", "no token"}
	}
	put := func(collection, rkey string, record any) (map[string]string, *refusal) {
		rec, _ := record.(map[string]any)
		if file, ok := rec["file"].(map[string]any); ok {
			m.files[did], _ = file["ref"].(map[string]any)["$link"].(string)
			return map[string]string{}, nil
		}
		text, _ := rec["text"].(string)
		if rec["$type"] != collection || text == "" || strings.Contains(text, numberMark) {
			return nil, &refusal{400, "InvalidRequest", "bad record"}
		}
		if rkey == "" {
			m.serial++
			rkey = "r" + strconv.Itoa(m.serial)
		}
		if !m.lossy {
			repo[collection+"/"+rkey] = text
		}
		return map[string]string{"uri": "at://" + did + "/" + collection + "/" + rkey, "cid": rawBase64(text)}, nil
	}
	switch nsid {
	case "com.atproto.repo.createRecord":
		return either(put(str("collection"), str("rkey"), in["record"]))
	case "com.atproto.repo.putRecord":
		if _, ok := repo[str("collection")+"/"+str("rkey")]; !ok {
			return nil, &refusal{400, "RecordNotFound", str("rkey")} // the workload means to update
		}
		return either(put(str("collection"), str("rkey"), in["record"]))
	case "com.atproto.repo.deleteRecord":
		path := str("collection") + "/" + str("rkey")
		if _, ok := repo[path]; !ok {
			return nil, &refusal{400, "RecordNotFound", path}
		}
		delete(repo, path)
		return map[string]any{}, nil
	case "com.atproto.repo.applyWrites":
		writes, _ := in["writes"].([]any)
		for _, x := range writes {
			w := x.(map[string]any)
			rkey, _ := w["rkey"].(string)
			if _, exists := repo[w["collection"].(string)+"/"+rkey]; exists {
				return nil, &refusal{400, "InvalidRequest", "exists"}
			}
			if _, err := put(w["collection"].(string), rkey, w["value"]); err != nil {
				return nil, err
			}
		}
		return map[string]any{}, nil
	case "com.atproto.repo.getRecord":
		text, ok := repo[q.Get("collection")+"/"+q.Get("rkey")]
		if !ok {
			return nil, &refusal{400, "RecordNotFound", q.Get("rkey")}
		}
		return map[string]string{"cid": rawBase64(text)}, nil
	case "com.atproto.repo.listRecords":
		limit, _ := strconv.Atoi(q.Get("limit"))
		var keys []string
		for path := range repo {
			if c, rkey, _ := strings.Cut(path, "/"); c == q.Get("collection") && (rkey < q.Get("cursor")) == (q.Get("reverse") == "") && rkey != q.Get("cursor") {
				keys = append(keys, rkey)
			}
		}
		if len(keys) < limit {
			return nil, &refusal{400, "InvalidRequest", fmt.Sprintf("only %d behind the cursor", len(keys))}
		}
		slices.Sort(keys)
		return keys[:limit], nil
	}
	return nil, &refusal{501, "MethodNotImplemented", nsid}
}

func either(v map[string]string, err *refusal) (any, *refusal) {
	if err != nil {
		return nil, err
	}
	return v, nil
}
