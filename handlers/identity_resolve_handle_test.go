package handlers

import (
	"strings"
	"testing"
	"time"
)

func TestResolveHandle(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice, other := h.createAccount(hostA, "alice"), h.createAccount(hostB, "bob")
	resolve := func(host, handle string) reply {
		return h.get(host, "com.atproto.identity.resolveHandle", "", "handle", handle)
	}
	for _, name := range []string{alice.handle, strings.ToUpper(alice.handle)} {
		if r := resolve(hostA, name).ok(); r.str("did") != alice.did {
			t.Errorf("%s", r.body)
		}
	}
	// Under our own domains nobody else is asked.
	resolve(hostA, "nobody.a.test").fails(400, "HandleNotFound", "Unable to resolve handle")
	// Elsewhere the handle's own host is, here the other tenant's.
	if r := resolve(hostA, other.handle).ok(); r.str("did") != other.did {
		t.Errorf("%s", r.body)
	}
	resolve(hostA, "nobody.b.test").fails(400, "InvalidRequest", "Unable to resolve handle")
	resolve(hostA, "not a handle").fails(400, "InvalidRequest", "handle must be a valid handle")
	h.get(hostA, "com.atproto.identity.resolveHandle", "").fails(400, "InvalidRequest", "handle is required")
	for column, value := range map[string]any{"deactivated_at": time.Now(), "takedown_ref": "x"} {
		alice.setStatus(column, value)
		resolve(hostA, alice.handle).fails(400, "HandleNotFound", "Unable to resolve handle")
		if r := h.raw("GET", alice.handle, "/.well-known/atproto-did", nil); r.status != 404 || string(r.body) != "User not found" {
			t.Errorf("%s: %d %s", column, r.status, r.body)
		}
		alice.setStatus(column, nil)
	}
}

func TestWellKnown(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice, other := h.createAccount(hostA, "alice"), h.createAccount(hostB, "alice")
	for _, u := range []*user{alice, other} {
		for _, host := range []string{u.handle, u.handle + ":8080", strings.ToUpper(u.handle), u.handle + "."} {
			r := h.raw("GET", host, "/.well-known/atproto-did", nil)
			if r.status != 200 || string(r.body) != u.did || !strings.HasPrefix(r.header.Get("Content-Type"), "text/plain") || r.header.Get("Access-Control-Allow-Origin") != "*" {
				t.Errorf("%s: %d %s %v", host, r.status, r.body, r.header)
			}
		}
		d := h.raw("GET", u.host, "/.well-known/did.json", nil).ok()
		tn := u.tenant()
		service, _ := d.at("service").(list)
		if d.str("id") != tn.ServiceDID || len(service) == 0 || service[0].(obj)["serviceEndpoint"] != tn.PublicURL {
			t.Errorf("%s", d.body)
		}
	}
	// The host of a handle, taken or not, has nothing else.
	for _, host := range []string{alice.handle, "nobody.a.test"} {
		for _, path := range []string{"/", "/xrpc/com.atproto.server.describeServer", "/.well-known/did.json", "/xrpc/_health", "/robots.txt", "/docs", "/openapi.json", "/.well-known/atproto-did/x", "/.well-known/../xrpc/_health"} {
			h.raw("GET", host, path, nil).fails(404, "NotFound", "")
		}
		h.post(host, createSession, "", obj{"identifier": alice.handle, "password": userPassword}).fails(404, "NotFound", "")
	}
	if r := h.raw("GET", "nobody.a.test", "/.well-known/atproto-did", nil); r.status != 404 || string(r.body) != "User not found" {
		t.Errorf("%d %s", r.status, r.body)
	}
	if r := h.raw("GET", hostA, "/.well-known/atproto-did", nil); r.status != 404 {
		t.Errorf("%d %s", r.status, r.body)
	}
	for _, host := range []string{"c.test", "localhost", "127.0.0.1", "", "alice.alice.a.test", "xa.test", "test", "a.test.evil.com", "[::1]:80", strings.Repeat("a.", 500) + "test", "a..test", "ä.test", "a.test@b.test"} {
		r, err := h.try("GET", host, "/xrpc/com.atproto.server.describeServer", nil)
		if err != nil || r.status == 400 && !strings.HasPrefix(string(r.body), "{") {
			continue // not even HTTP
		}
		r.t, r.what = t, "host "+host
		if host == "" || host == "127.0.0.1" {
			continue // Go's client puts the address there
		}
		if r.status == 404 { // below a handle domain
			r.fails(404, "NotFound", "")
		} else {
			r.fails(421, "UnknownHost", "")
		}
	}
	if r := h.raw("GET", hostA, "/xrpc/_health", nil).ok(); r.str("version") != "test" {
		t.Errorf("%s", r.body)
	}
	h.suspend(hostA)
	h.raw("GET", hostA, "/xrpc/_health", nil).fails(503, "HostSuspended", "")
	alice.ask("com.atproto.server.getSession").fails(503, "HostSuspended", "")
	h.get(hostB, "com.atproto.server.describeServer", "").ok()
	h.resume(hostA)
	alice.ask("com.atproto.server.getSession").ok()
}
