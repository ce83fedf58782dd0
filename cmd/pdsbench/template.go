package main

import (
	"bytes"
	"fmt"
	"strings"
)

// A template is an encoded request in which a few places of constant width change from one operation to the next.
type template struct {
	raw     []byte
	account int
	numbers []int // offsets of decimal numbers of numberWidth digits
	keys    []int // offsets of record keys, 13 characters
}

// The marks that stand in a request before it becomes a template. They survive JSON and query encoding unchanged.
const (
	numberWidth = 10
	numberMark  = "0N0U0M0B0R"
	keyMark     = "2kkeykkeykkey"
)

// newTemplate finds the marks. numbers and keys are how many of each there must be; anything else is a bug in the
// workload.
func newTemplate(raw []byte, account, numbers, keys int) (*template, error) {
	t := &template{raw: raw, account: account, numbers: find(raw, numberMark), keys: find(raw, keyMark)}
	if len(t.numbers) != numbers || len(t.keys) != keys {
		return nil, fmt.Errorf("request %.60q: %d numbers and %d keys, want %d and %d", raw, len(t.numbers), len(t.keys), numbers, keys)
	}
	return t, nil
}

func find(b []byte, mark string) []int {
	var at []int
	for from := 0; ; {
		i := bytes.Index(b[from:], []byte(mark))
		if i < 0 {
			return at
		}
		at = append(at, from+i)
		from += i + len(mark)
	}
}

// number writes consecutive numbers, starting with n, into the number places.
func (t *template) number(n int64) {
	for _, at := range t.numbers {
		v := n
		for i := numberWidth - 1; i >= 0; i-- {
			t.raw[at+i] = byte('0' + v%10)
			v /= 10
		}
		n++
	}
}

// key writes a record key into the i-th key place.
func (t *template) key(i int, rkey string) { copy(t.raw[t.keys[i]:], rkey) }

// quoted is a string that needs no escape inside a JSON text or a query; DIDs, NSIDs and record keys are such.
func quoted(s string) (string, error) {
	if strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`"\&#+%<>`, r) }) {
		return "", fmt.Errorf("%q cannot stand in a request unescaped", s)
	}
	return s, nil
}
