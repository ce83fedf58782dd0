package main

import (
	"encoding/binary"
	"net"
	"strings"
	"sync"
)

// The hosts of the small internet. Accounts' handles are below the tenants' names.
const (
	north     = "north.example.com"
	south     = "south.example.org"
	directory = "plc.directory"
	board     = "board.example.net" // where operators find the dashboard
)

var tenants = []string{north, south}

// clientHosts are where clients have their documents and pages. Servers refuse the reserved names as those of clients, all but this one.
var clientHosts = []string{"app.suite.alt", "spa.suite.alt", "evil.suite.alt", nameHost}

// nameHost takes TXT records from drivers.
const nameHost = "names.suite.alt"

// names are all hosts; handles lie below those of tenants.
var names = append(append([]string{directory, board}, tenants...), clientHosts...)

func known(name string) bool {
	for _, n := range names {
		if name == n || strings.HasSuffix(name, "."+n) && (n == north || n == south) {
			return true
		}
	}
	return false
}

// texts are the TXT records, of which drivers make some.
type texts struct {
	mu      sync.Mutex
	records map[string]string
	conn    net.PacketConn
}

// startNames answers as the name server of the world: names of hosts are 127.0.0.1, everything else is unknown.
func startNames() (*texts, error) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:53")
	if err != nil {
		return nil, err
	}
	t := &texts{records: map[string]string{}, conn: conn}
	go func() {
		buf := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			if answer := t.answer(buf[:n]); answer != nil {
				_, _ = conn.WriteTo(answer, from) // an answer may be lost
			}
		}
	}()
	return t, nil
}

func (t *texts) set(name, text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.records[strings.ToLower(name)] = text
}

// answer knows questions for A, AAAA and TXT.
func (t *texts) answer(q []byte) []byte {
	if len(q) < 17 {
		return nil
	}
	var labels []string
	i := 12
	for i < len(q) && q[i] != 0 {
		end := i + 1 + int(q[i])
		if end > len(q) {
			return nil
		}
		labels = append(labels, string(q[i+1:end]))
		i = end
	}
	end := i + 5
	if end > len(q) {
		return nil
	}
	name, kind := strings.ToLower(strings.Join(labels, ".")), binary.BigEndian.Uint16(q[i+1:])
	var data []byte
	host := known(name)
	if host && kind == 1 {
		data = []byte{127, 0, 0, 1}
	}
	t.mu.Lock()
	text, ok := t.records[name]
	t.mu.Unlock()
	if ok && kind == 16 && len(text) < 256 {
		data = append([]byte{byte(len(text))}, text...)
	}
	r := append([]byte{}, q[:2]...)
	code := byte(0)
	if !host && !ok {
		code = 3 // no such name
	}
	count := byte(0)
	if data != nil {
		count = 1
	}
	r = append(r, 0x81, 0x80|code, 0, 1, 0, count, 0, 0, 0, 0)
	r = append(r, q[12:end]...)
	if data != nil {
		r = append(r, 0xc0, 12, 0, byte(kind), 0, 1, 0, 0, 0, 0, 0, byte(len(data)))
		r = append(r, data...)
	}
	return r
}
