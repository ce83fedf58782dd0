package main

import (
	"context"
	"io"
	"net"
	"time"
)

// heldBodies announces bodies that never come, in each way, on paths and hosts of all sorts.
var heldBodies = class{
	name: "bodies", what: "announces a body on any path or host, and sends none of it",
	clients: 1000, short: 200, gone: 40 * time.Second,
	start: func(ctx context.Context, f *field, n int) (*load, error) {
		l := newLoad(ctx)
		json, image := "Content-Type: application/json", "Content-Type: image/jpeg"
		announced := []string{"Content-Length: 9", "Transfer-Encoding: chunked", "Content-Length: 90000000", "Content-Length: 9\r\nExpect: 100-continue"}
		requests := []struct {
			line, host string
			headers    []string
		}{
			{"POST /", f.hostA, nil},
			{"POST /", "nobody.example", nil},
			{"POST /xrpc/com.example.no.such", f.hostA, []string{json}},
			{"POST /xrpc/com.atproto.server.createSession", f.hostA, []string{json}},
			{"POST /xrpc/com.atproto.repo.uploadBlob", f.hostA, []string{image}},
			{"POST /xrpc/com.atproto.repo.uploadBlob", f.hostA, []string{image, f.a.bearer()}},
			{"POST /xrpc/com.atproto.repo.createRecord", f.hostA, []string{json, f.a.bearer()}},
			{"GET /xrpc/com.atproto.server.describeServer", f.hostA, nil},
			{"HEAD /", f.hostA, nil},
			{"OPTIONS /xrpc/com.atproto.server.createSession", f.hostA, []string{"Origin: https://x.example"}},
			{"CONNECT x.example:443", f.hostA, nil},
			{"GET /xrpc/com.atproto.sync.subscribeRepos", f.hostA, nil},
			{"POST /oauth/token", f.hostA, []string{json}},
		}
		l.hold(f, n, func(i int, c net.Conn) {
			r := requests[i%len(requests)]
			if request(c, r.line, r.host, append([]string{from(i, 50), announced[(i/len(requests))%len(announced)]}, r.headers...)...) {
				drain(c)
			}
		})
		return l, nil
	},
}

// drippedBodies sends bodies a byte a second.
var drippedBodies = class{
	name: "drip", what: "sends the bodies of uploads and calls a byte a second",
	clients: 300, short: 60, gone: 40 * time.Second,
	start: func(ctx context.Context, f *field, n int) (*load, error) {
		l := newLoad(ctx)
		requests := []struct{ line, kind string }{
			{"POST /xrpc/com.atproto.repo.uploadBlob", "image/jpeg"},
			{"POST /xrpc/com.atproto.repo.createRecord", "application/json"},
			{"POST /nowhere", "text/plain"},
		}
		l.hold(f, n, func(i int, c net.Conn) {
			r := requests[i%len(requests)]
			if !request(c, r.line, f.hostA, from(i, 50), "Content-Type: "+r.kind, "Content-Length: 100000", f.a.bearer()) {
				return
			}
			gone := make(chan struct{})
			go func() {
				defer close(gone)
				drain(c)
			}()
			for {
				select {
				case <-gone:
					return
				case <-l.ctx.Done():
					return
				case <-time.After(time.Second):
					_, _ = io.WriteString(c, "x")
				}
			}
		})
		return l, nil
	},
}
