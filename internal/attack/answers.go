package main

import (
	"context"
	"net"
	"time"
)

// slowAnswers asks for the largest answers there are, and does not read them, or hardly.
var slowAnswers = class{
	name: "answers", what: "asks for pages of large records, blocks and proofs, and hardly reads them",
	clients: 120, short: 60, gone: 40 * time.Second, grow: 450,
	prepare: (*field).largeRecords,
	start: func(ctx context.Context, f *field, n int) (*load, error) {
		list := "/xrpc/com.atproto.repo.listRecords?limit=100&repo=" + f.a.did + "&collection=" + collection
		paths := []string{
			list, list, list,
			"/xrpc/com.atproto.sync.getBlocks?did=" + f.a.did + "&cids=" + f.large[0] + "&cids=" + f.large[1],
			"/xrpc/com.atproto.sync.getRecord?did=" + f.a.did + "&collection=" + collection + "&rkey=" + recordKey(0),
			"/xrpc/com.atproto.repo.getRecord?repo=" + f.a.did + "&collection=" + collection + "&rkey=" + recordKey(1),
		}
		l := newLoad(ctx)
		l.hold(f, n, func(i int, c net.Conn) {
			encoding := "Accept-Encoding: " + []string{"identity", "gzip"}[i/2%2]
			if request(c, "GET "+paths[i%len(paths)], f.hostA, from(i, 10), "Connection: close", encoding) { // a refusal is no connection held
				l.sip(c, i%2*500)
			}
		})
		return l, nil
	},
}

// slowArchives reads archives slowly.
var slowArchives = class{
	name: "archives", what: "reads a large repository's archive slowly",
	clients: 40, short: 10, gone: 40 * time.Second, grow: 200,
	asks: func(f *field, ctx context.Context) error {
		_, err := f.fetch(ctx, "/xrpc/com.atproto.sync.getRepo?did="+f.b.did)
		return err
	},
	prepare: (*field).largeRecords,
	start: func(ctx context.Context, f *field, n int) (*load, error) {
		l := newLoad(ctx)
		l.hold(f, n, func(i int, c net.Conn) {
			if request(c, "GET /xrpc/com.atproto.sync.getRepo?did="+f.a.did, f.hostA, from(i, 10), "Connection: close") {
				l.sip(c, i%2*500)
			}
		})
		return l, nil
	},
}
