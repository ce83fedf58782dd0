package car_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log"

	"github.com/auroralocus/locus/repo/car"
	"github.com/auroralocus/locus/repo/dagcbor"
)

// An archive is a header that names the roots, then blocks. The reader checks the digest of each.
func ExampleReader() {
	block := dagcbor.AppendText(nil, "hello")
	root := dagcbor.CID(block)

	var archive bytes.Buffer
	w, err := car.NewWriter(&archive, root)
	if err == nil {
		err = w.Put(root, block)
	}
	if err != nil {
		log.Fatal(err)
	}

	whole := archive.Bytes()
	r, err := car.NewReader(bytes.NewReader(whole), car.Limits{})
	if err != nil {
		log.Fatal(err)
	}
	for {
		c, data, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(c == r.Roots()[0], len(data))
	}

	whole[len(whole)-1] ^= 1
	r, err = car.NewReader(bytes.NewReader(whole), car.Limits{})
	if err != nil {
		log.Fatal(err)
	}
	_, _, err = r.Next()
	fmt.Println(errors.Is(err, car.ErrDigest))
	// Output:
	// true 6
	// true
}
