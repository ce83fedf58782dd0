package handlers

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// obj and list are JSON.
type (
	obj  = map[string]any
	list = []any
)

// reply is what came back.
type reply struct {
	t      testing.TB
	what   string
	nsid   string // the method called, if it is one
	status int
	header http.Header
	body   []byte
}

// raw sends one request; headers are "Name: value". A body of type string, []byte or io.Reader goes out as it is
// (io.Reader: chunked); anything else as JSON, with its content type.
func (h *house) raw(verb, host, target string, body any, headers ...string) reply {
	h.t.Helper()
	r, err := h.try(verb, host, target, body, headers...)
	if err != nil {
		h.t.Fatalf("%s: %v", r.what, err)
	}
	return r
}

// try is raw for requests that may get no answer.
func (h *house) try(verb, host, target string, body any, headers ...string) (reply, error) {
	var in io.Reader
	isJSON := false
	switch b := body.(type) {
	case nil:
	case string:
		in = strings.NewReader(b)
	case []byte:
		in = bytes.NewReader(b)
	case io.Reader:
		in = io.MultiReader(b) // hides the length
	default:
		text, err := json.Marshal(b)
		if err != nil {
			h.t.Fatal(err)
		}
		in, isJSON = bytes.NewReader(text), true
	}
	path, _, _ := strings.Cut(target, "?")
	rep := reply{t: h.t, what: verb + " " + host + target, nsid: strings.TrimPrefix(path, "/xrpc/")}
	if len(rep.what) > 200 {
		rep.what = rep.what[:200] + "…"
	}
	req, err := http.NewRequestWithContext(h.t.Context(), verb, h.http.URL+target, in)
	if err != nil {
		return rep, err
	}
	req.Host = host
	if isJSON {
		req.Header.Set("Content-Type", "application/json")
	}
	for _, line := range headers {
		if line == "" {
			continue
		}
		k, v, _ := strings.Cut(line, ": ")
		req.Header.Set(k, v)
	}
	res, err := h.http.Client().Do(req)
	if err != nil {
		return rep, err
	}
	defer res.Body.Close()
	rep.status, rep.header = res.StatusCode, res.Header
	rep.body, err = io.ReadAll(res.Body)
	return rep, err
}

// bearer and basic make an Authorization header; bearer("") none.
func bearer(token string) string {
	if token == "" {
		return ""
	}
	return "Authorization: Bearer " + token
}

func basic(user, password string) string {
	return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

func asAdmin() string { return basic("admin", adminPassword) }

// params writes "key", value, … as a query string.
func params(kv ...string) string {
	v := url.Values{}
	for i := 0; i < len(kv); i += 2 {
		v.Add(kv[i], kv[i+1])
	}
	return "?" + v.Encode()
}

// get calls a query; kv are its parameters.
func (h *house) get(host, nsid, auth string, kv ...string) reply {
	h.t.Helper()
	return h.raw("GET", host, "/xrpc/"+nsid+params(kv...), nil, auth)
}

// post calls a procedure.
func (h *house) post(host, nsid, auth string, body any) reply {
	h.t.Helper()
	return h.raw("POST", host, "/xrpc/"+nsid, body, auth)
}

// ok ends the test unless the call succeeded.
func (r reply) ok() reply {
	r.t.Helper()
	if r.status != http.StatusOK {
		r.t.Fatalf("%s: %d %.500s", r.what, r.status, r.body)
	}
	return r
}

// fails wants an error of XRPC's form. part is of the message, "" of any.
func (r reply) fails(status int, name, part string) {
	r.t.Helper()
	var e map[string]string
	if err := json.Unmarshal(r.body, &e); err != nil {
		r.t.Errorf("%s: %d %.300q is no error object: %v", r.what, r.status, r.body, err)
		return
	}
	if r.status != status || e["error"] != name || !strings.Contains(e["message"], part) || len(e) != 2 {
		r.t.Errorf("%s: got %d %.500s, want %d %s with %q", r.what, r.status, r.body, status, name, part)
	} else {
		r.wanted(status, name)
	}
	if ct := r.header.Get("Content-Type"); ct != "application/json; charset=utf-8" {
		r.t.Errorf("%s: error has Content-Type %q", r.what, ct)
	}
	if strings.Contains(string(r.body), userPassword) {
		r.t.Errorf("%s: echoes the password: %s", r.what, r.body)
	}
}

// wanted notes that a test asked for this very answer by status and name, and got it.
func (r reply) wanted(status int, name string) {
	recordWanted(answered{r.nsid, status, name, r.header.Get(byGate) != ""})
}

// json is the body as an object.
func (r reply) json() obj {
	r.t.Helper()
	d := json.NewDecoder(bytes.NewReader(r.body))
	d.UseNumber()
	var v obj
	if err := d.Decode(&v); err != nil {
		r.t.Fatalf("%s: %.300q: %v", r.what, r.body, err)
	}
	return v
}

// at is what a path of member names leads to, nil when there is nothing.
func (r reply) at(path ...string) any {
	r.t.Helper()
	var v any = r.json()
	for _, name := range path {
		o, _ := v.(obj)
		v = o[name]
	}
	return v
}

// str is at for a text that must be there.
func (r reply) str(path ...string) string {
	r.t.Helper()
	s, ok := r.at(path...).(string)
	if !ok {
		r.t.Fatalf("%s: no text %v in %.500s", r.what, path, r.body)
	}
	return s
}

// user is an account with its session.
type user struct {
	*house
	host                         string
	did, handle, access, refresh string
}

// createAccount signs somebody up: label.host.
func (h *house) createAccount(host, label string) *user {
	h.t.Helper()
	r := h.post(host, "com.atproto.server.createAccount", "", obj{
		"handle": label + "." + host, "email": h.email(label), "password": userPassword,
	}).ok()
	return &user{h, host, r.str("did"), r.str("handle"), r.str("accessJwt"), r.str("refreshJwt")}
}

func (h *house) email(label string) string {
	return fmt.Sprintf("%s%d@example.com", label, h.emails.Add(1))
}

// call posts as the user.
func (u *user) call(nsid string, body any) reply {
	u.t.Helper()
	return u.post(u.host, nsid, bearer(u.access), body)
}

// ask gets as the user.
func (u *user) ask(nsid string, kv ...string) reply {
	u.t.Helper()
	return u.get(u.host, nsid, bearer(u.access), kv...)
}

// create makes a record; "" lets the server choose its key.
func (u *user) create(collection, rkey string, record obj) reply {
	u.t.Helper()
	in := obj{"repo": u.did, "collection": collection, "record": record}
	if rkey != "" {
		in["rkey"] = rkey
	}
	return u.call("com.atproto.repo.createRecord", in)
}

// put makes or replaces a record.
func (u *user) put(collection, rkey string, record obj) reply {
	u.t.Helper()
	return u.call("com.atproto.repo.putRecord", obj{"repo": u.did, "collection": collection, "rkey": rkey, "record": record})
}

// del deletes a record.
func (u *user) del(collection, rkey string) reply {
	u.t.Helper()
	return u.call("com.atproto.repo.deleteRecord", obj{"repo": u.did, "collection": collection, "rkey": rkey})
}

// read gets a record of the user's.
func (u *user) read(collection, rkey string) reply {
	u.t.Helper()
	return u.get(u.host, "com.atproto.repo.getRecord", "", "repo", u.did, "collection", collection, "rkey", rkey)
}

// head is the newest commit's CID and rev.
func (u *user) head() (cid, rev string) {
	u.t.Helper()
	r := u.get(u.host, "com.atproto.sync.getLatestCommit", "", "did", u.did).ok()
	return r.str("cid"), r.str("rev")
}

const createdAt = "2026-01-02T03:04:05.678Z"

// post is a record of app.bsky.feed.post.
func postRecord(text string) obj {
	return obj{"$type": "app.bsky.feed.post", "text": text, "createdAt": createdAt}
}

// rkeyOf is the last part of a record's URI.
func rkeyOf(uri string) string { return uri[strings.LastIndexByte(uri, '/')+1:] }
