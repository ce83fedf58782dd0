package handlers

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/auroralocus/locus/internal/xrpc"
)

type discard struct{ h http.Header }

func (d *discard) Header() http.Header         { return d.h }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
func (d *discard) WriteHeader(int)             {}

// BenchmarkQuery is a small public query through the whole frame, without the network.
func BenchmarkQuery(b *testing.B) {
	s, _ := exampleServer(b)
	benchRequest(b, s, func() *http.Request {
		return httptest.NewRequest("GET", "http://alpha.test/xrpc/com.atproto.server.describeServer", nil)
	})
}

// BenchmarkListQuery has four parameters to check.
func BenchmarkListQuery(b *testing.B) {
	s, _ := exampleServer(b)
	benchRequest(b, s, func() *http.Request {
		return httptest.NewRequest("GET", "http://alpha.test/xrpc/com.atproto.repo.listRecords?repo=did:plc:ewvi7nxzyoun6zhxrhs64oiz&collection=app.bsky.feed.post&limit=1&reverse=true", nil)
	})
}

// BenchmarkCreateRecord is a post's createRecord up to the handler and back.
func BenchmarkCreateRecord(b *testing.B) {
	s, _ := exampleServer(b)
	body := `{"repo":"did:plc:alice","collection":"app.bsky.feed.post","record":{"$type":"app.bsky.feed.post","text":"` + strings.Repeat("word ", 40) + `","createdAt":"2026-01-01T00:00:00.000Z","langs":["en"]}}`
	benchRequest(b, s, func() *http.Request {
		r := httptest.NewRequest("POST", "http://alpha.test"+create, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Authorization", "Bearer alice")
		return r
	})
}

func benchRequest(b *testing.B, s *xrpc.Server, make func() *http.Request) {
	b.ReportAllocs()
	w := &discard{h: http.Header{}}
	for b.Loop() {
		b.StopTimer()
		r := make()
		clear(w.h)
		b.StartTimer()
		s.ServeHTTP(w, r)
	}
}
