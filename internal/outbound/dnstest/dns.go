// Package dnstest is a name server for tests.
package dnstest

import (
	"context"
	"encoding/binary"
	"net"
	"strings"
	"testing"
)

// Record types that it answers.
const (
	TypeA   = 1
	TypeTXT = 16
)

// New runs a name server on loopback and returns a resolver that asks it. answer gives the record data for a name
// (lower case, without the final dot); nil means that there is no such name.
func New(t testing.TB, answer func(name string, qtype uint16) [][]byte) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() {
		_ = conn.Close()
		<-done
	})
	go func() {
		defer close(done)
		buf := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			if r := reply(buf[:n], answer); r != nil {
				_, _ = conn.WriteTo(r, from)
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

func reply(q []byte, answer func(string, uint16) [][]byte) []byte {
	if len(q) < 17 {
		return nil
	}
	var labels []string
	i := 12
	for i < len(q) && q[i] != 0 {
		labels = append(labels, string(q[i+1:i+1+int(q[i])]))
		i += 1 + int(q[i])
	}
	end := i + 5
	qtype := binary.BigEndian.Uint16(q[i+1:])
	records := answer(strings.ToLower(strings.Join(labels, ".")), qtype)
	r := append([]byte{}, q[:2]...)
	rcode := byte(0)
	if records == nil {
		rcode = 3 // no such name
	}
	r = append(r, 0x81, 0x80|rcode, 0, 1, 0, byte(len(records)), 0, 0, 0, 0)
	r = append(r, q[12:end]...)
	for _, data := range records {
		if qtype == TypeTXT {
			data = append([]byte{byte(len(data))}, data...)
		}
		r = append(r, 0xc0, 12, 0, byte(qtype), 0, 1, 0, 0, 0, 0, 0, byte(len(data)))
		r = append(r, data...)
	}
	return r
}
