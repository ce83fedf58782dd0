package main

import (
	"encoding/json"
	"testing"
	"time"
)

func TestRecordsHaveTheSizeAskedFor(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.UTC)
	for size, collection := range map[int]string{0: postCollection, 100: postCollection, 300: postCollection, 301: longCollection, 20000: longCollection} {
		s := newRecordShape(size, now)
		var rec map[string]string
		if err := json.Unmarshal(s.encode("nonce", numberMark), &rec); err != nil {
			t.Fatal(err)
		}
		if len(rec["text"]) != max(size, minText) || rec["$type"] != collection || rec["createdAt"] != "2026-01-02T03:04:05.006Z" {
			t.Errorf("size %d: %v", size, rec)
		}
		if b := s.batch(); b < 1 || b > maxBatch || b*(s.size+300) > prefillBytes {
			t.Errorf("size %d: batches of %d", size, b)
		}
	}
}

// Time 0, the largest 53 bits, and the start of 2024. spec: tid#tid-syntax
func TestTID(t *testing.T) {
	for _, c := range []struct {
		micros int64
		clock  int
		want   string
	}{
		{0, 0, "2222222222222"},
		{1<<53 - 1, 1023, "bzzzzzzzzzzzz"},
		{1_704_067_200_000_000, 0, "3khuwc44c2222"},
	} {
		got := tid(c.micros, c.clock)
		if got != c.want {
			t.Errorf("tid(%d, %d) = %s, want %s", c.micros, c.clock, got, c.want)
		}
	}
	last := ""
	for i := range 3000 {
		k := prefillKey(100, i)
		if k <= last {
			t.Fatalf("key %d %s after %s", i, k, last)
		}
		last = k
	}
	if prefillKey(100, 5) == prefillKey(60, 5) {
		t.Error("records of two sizes share keys")
	}
}

func TestTemplates(t *testing.T) {
	tp, err := newTemplate([]byte("a="+numberMark+"&b="+numberMark+"&k="+keyMark), 0, 2, 1)
	if err != nil {
		t.Fatal(err)
	}
	tp.number(41)
	tp.key(0, tid(0, 0))
	if got := string(tp.raw); got != "a=0000000041&b=0000000042&k=2222222222222" {
		t.Error(got)
	}
	tp.number(9_999_999_998)
	if got := string(tp.raw); got != "a=9999999998&b=9999999999&k=2222222222222" {
		t.Error(got)
	}
	if _, err := newTemplate([]byte(numberMark), 0, 0, 0); err == nil {
		t.Error("an unexpected mark was accepted")
	}
	for _, s := range []string{`a"b`, "a b", "a&b", "a\nb", "ä"} {
		if _, err := quoted(s); err == nil {
			t.Errorf("%q passed unescaped", s)
		}
	}
}
