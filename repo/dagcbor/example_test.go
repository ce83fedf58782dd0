package dagcbor_test

import (
	"errors"
	"fmt"
	"log"

	"github.com/auroralocus/locus/repo/dagcbor"
)

// A record comes as JSON and is stored as the one DAG-CBOR block that its content has.
func ExampleFromJSON() {
	block, err := dagcbor.FromJSON([]byte(`{"text": "hello", "$type": "app.bsky.feed.post"}`), dagcbor.Limits{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(block), dagcbor.Type(block))
	text, err := dagcbor.ToJSON(nil, block)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", text)

	_, err = dagcbor.FromJSON([]byte(`{"$type": "app.bsky.feed.post", "size": 1.5}`), dagcbor.Limits{})
	fmt.Println(err)
	// Output:
	// 37 app.bsky.feed.post
	// {"text":"hello","$type":"app.bsky.feed.post"}
	// dagcbor: floats are not allowed at byte 40 (size)
}

// Validate refuses every block that says the same in other bytes: a CID names bytes, not values.
func ExampleValidate() {
	one := []byte{0x01}
	longer := []byte{0x18, 0x01} // also 1, but not in the shortest form
	fmt.Println(dagcbor.Validate(one), errors.Is(dagcbor.Validate(longer), dagcbor.ErrNotMinimal))
	// Output: <nil> true
}

// Blobs finds the files that a record speaks of.
func ExampleBlobs() {
	block, err := dagcbor.FromJSON([]byte(`{"$type":"app.bsky.actor.profile","avatar":{"$type":"blob",
		"ref":{"$link":"bafkreidivzimqtqtqxkrpge6bjyhlvxqs3rhe73owtmdulaxr5do5in7u4"},"mimeType":"image/png","size":760898}}`), dagcbor.Limits{})
	if err != nil {
		log.Fatal(err)
	}
	refs, err := dagcbor.Blobs(block)
	if err != nil {
		log.Fatal(err)
	}
	for _, r := range refs {
		fmt.Println(r.CID, r.MimeType, r.Size)
	}
	// Output: bafkreidivzimqtqtqxkrpge6bjyhlvxqs3rhe73owtmdulaxr5do5in7u4 image/png 760898
}
