package main

import (
	"encoding/json"
	"strings"
	"time"
)

// Posts hold at most 300 graphemes; longer records go to a collection that no server knows the schema of.
const (
	maxPost        = 300
	postCollection = "app.bsky.feed.post"
	longCollection = "com.example.bench.item"
)

// minText leaves room in a record's text for what makes it unique.
const minText = 32

// A recordShape is what the records of a run look like.
type recordShape struct {
	collection string
	size       int // characters of text
	created    string
}

func newRecordShape(size int, now time.Time) recordShape {
	r := recordShape{collection: postCollection, size: max(size, minText), created: now.UTC().Format("2006-01-02T15:04:05.000Z")}
	if r.size > maxPost {
		r.collection = longCollection
	}
	return r
}

// encode makes the JSON of a record whose text starts with the two marks and is filled up to the size.
func (r recordShape) encode(nonce, mark string) []byte {
	text := nonce + " " + mark + " "
	if n := r.size - len(text); n > 0 {
		text += strings.Repeat("lorem ipsum ", n/12+1)[:n]
	}
	b, err := json.Marshal(struct {
		Type    string `json:"$type"`
		Text    string `json:"text"`
		Created string `json:"createdAt"`
	}{r.collection, text, r.created})
	if err != nil {
		panic(err) // strings always encode
	}
	return b
}

// batch is how many records go into one commit of a prefill.
func (r recordShape) batch() int {
	return max(1, min(maxBatch, prefillBytes/(r.size+300)))
}

const tidAlphabet = "234567abcdefghijklmnopqrstuvwxyz"

// tid encodes a time in microseconds and a clock number as a record key. spec: tid#tid-syntax
func tid(micros int64, clock int) string {
	v := uint64(micros)<<10 | uint64(clock&1023)
	var b [13]byte
	for i := len(b) - 1; i >= 0; i-- {
		b[i] = tidAlphabet[v&31]
		v >>= 5
	}
	return string(b[:])
}

// prefillKey is the key of the i-th record of a size, the same in every run: one second apart from the start of 2024 on.
func prefillKey(size, i int) string {
	return tid(1_704_067_200_000_000+int64(i)*1_000_000, size)
}
