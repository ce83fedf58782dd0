package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// client speaks to a tenant through the balancer, whatever the tenant's name resolves to.
type client struct {
	http *http.Client
	host string // with port
}

func newClient(front, hostname string) *client {
	_, port, _ := net.SplitHostPort(front)
	t := &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, front)
		},
		MaxIdleConnsPerHost: 16,
	}
	return &client{&http.Client{Transport: t, Timeout: time.Minute}, net.JoinHostPort(hostname, port)}
}

// refusal is an answer that is no success.
type refusal struct {
	status int
	name   string
	text   string
}

func (r *refusal) Error() string { return fmt.Sprintf("%d %s: %s", r.status, r.name, r.text) }

func (c *client) call(ctx context.Context, method, nsid, token string, in, out any) error {
	var body io.Reader
	if in != nil {
		raw, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+c.host+"/xrpc/"+nsid, body)
	if err != nil {
		return err
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		var e struct{ Error, Message string }
		_ = json.Unmarshal(raw, &e)
		return &refusal{resp.StatusCode, e.Error, e.Message}
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(raw, out)
}

// person is an account and what was acknowledged to it.
type person struct {
	handle, did, token, refresh string

	mu      sync.Mutex
	written map[string]string // rkey → CID
	doubt   map[string]bool   // rkeys whose outcome is not known
}

func (d *drill) join(ctx context.Context, i int) (*person, error) {
	p := &person{handle: fmt.Sprintf("person%d.%s", i, handles), written: map[string]string{}, doubt: map[string]bool{}}
	var out struct{ DID, AccessJWT, RefreshJWT string }
	err := d.client.call(ctx, http.MethodPost, "com.atproto.server.createAccount", "", map[string]string{
		"handle": p.handle, "email": fmt.Sprintf("person%d@example.com", i), "password": password,
	}, &out)
	p.did, p.token, p.refresh = out.DID, out.AccessJWT, out.RefreshJWT
	return p, err
}

const (
	collection = "com.example.drill"
	password   = "a long drill password"
	handles    = "drill.test"
)

// write writes records until the context ends. What a server refuses because of what the drill does is tried again with
// another key. An answer that is missing, or is the balancer's (it lost a server that may have committed), leaves the write
// in doubt.
func (d *drill) write(ctx context.Context, p *person) {
	for n := 0; ctx.Err() == nil; n++ {
		rkey := fmt.Sprintf("r%d-%d", time.Now().UnixNano(), n)
		var out struct{ CID string }
		d.gate.RLock()
		err := d.client.call(ctx, http.MethodPost, "com.atproto.repo.createRecord", p.token, map[string]any{
			"repo": p.did, "collection": collection, "rkey": rkey, "record": map[string]any{"$type": collection, "text": strings.Repeat("words ", 20), "n": n},
		}, &out)
		d.gate.RUnlock()
		p.mu.Lock()
		switch r, refused := err.(*refusal); {
		case err == nil:
			p.written[rkey] = out.CID
			d.acknowledged.Add(1)
		case refused && r.name != "" && r.name != "UnknownOutcome": // only a server's answer has a name
			d.refused(r)
		default:
			p.doubt[rkey] = true
			d.doubted.Add(1)
		}
		p.mu.Unlock()
		if err != nil {
			select {
			case <-ctx.Done():
			case <-time.After(50 * time.Millisecond):
			}
		}
	}
}

// check reads all records of a person, and looks for what was acknowledged and for what nobody wrote.
func (d *drill) check(ctx context.Context, p *person) error {
	found := map[string]string{}
	for cursor := ""; ; {
		var page struct {
			Cursor  string
			Records []struct{ URI, CID string }
		}
		err := d.client.call(ctx, http.MethodGet, "com.atproto.repo.listRecords?limit=100&repo="+p.did+"&collection="+collection+"&cursor="+cursor, "", nil, &page)
		if err != nil {
			return fmt.Errorf("read the records of %s: %w", p.handle, err)
		}
		for _, r := range page.Records {
			found[r.URI[strings.LastIndexByte(r.URI, '/')+1:]] = r.CID
		}
		if cursor = page.Cursor; cursor == "" {
			break
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for rkey, cid := range p.written {
		if found[rkey] != cid {
			return fmt.Errorf("%s: record %s was acknowledged with %s and is %q", p.handle, rkey, cid, found[rkey])
		}
	}
	for rkey := range found {
		if _, ok := p.written[rkey]; !ok && !p.doubt[rkey] {
			return fmt.Errorf("%s: record %s was refused and is there", p.handle, rkey)
		}
	}
	return nil
}
