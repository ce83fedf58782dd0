package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"time"
)

const blobType = "application/octet-stream"

// blobBytes is a file of a size that no server can compress, nor tell a type of.
func blobBytes(mark string, size int) []byte {
	b := make([]byte, max(size, len(mark)))
	r := rand.NewChaCha8([32]byte{})
	_, _ = r.Read(b) // never fails
	copy(b, mark)
	return b
}

// uploadBlob sends files that differ from each other in a number at their beginning.
func uploadBlob(p *plan, client int) (source, error) {
	own := p.own(client)
	own = own[:max(1, min(len(own), 64<<20/max(1, p.blobSize)))] // each account's request stays in memory
	ts := make([]*template, len(own))
	body := blobBytes(p.nonce+numberMark, p.blobSize)
	for i, n := range own {
		var err error
		if ts[i], err = newTemplate(p.t.encode("POST", "com.atproto.repo.uploadBlob", "", p.accounts[n].bearer(), blobType, body), n, 1, 0); err != nil {
			return nil, err
		}
	}
	return turns(ts, client), nil
}

func getBlob(p *plan, client int) (source, error) {
	ts, err := p.get("com.atproto.sync.getBlob", 0, func(did string) string {
		for _, a := range p.accounts {
			if a.DID == did {
				return url.Values{"did": {did}, "cid": {a.Blobs[p.blobSize]}}.Encode()
			}
		}
		return ""
	})
	if err != nil {
		return nil, err
	}
	return random(ts, client, nil), nil
}

// fillBlobs sees to it that every account has one file of a size, named by a record.
func (s *setup) fillBlobs(ctx context.Context, accounts []*account, size int) error {
	return s.each(ctx, len(accounts), func(c *conn, i int) error {
		a := accounts[i]
		if a.Blobs[size] != "" {
			return nil
		}
		c.all = true
		got, err := c.do(c.t.encode("POST", "com.atproto.repo.uploadBlob", "", a.bearer(), blobType, blobBytes(s.nonce+a.DID, size)), time.Now())
		if err != nil {
			return fmt.Errorf("uploadBlob: %w", err)
		}
		if got.status != 200 {
			return fmt.Errorf("uploadBlob: %w", newXRPCError(got))
		}
		var out struct {
			Blob json.RawMessage `json:"blob"`
		}
		var ref struct {
			Ref struct {
				Link string `json:"$link"`
			} `json:"ref"`
		}
		if err := errors.Join(json.Unmarshal(got.body, &out), json.Unmarshal(out.Blob, &ref)); err != nil {
			return fmt.Errorf("uploadBlob: read the answer: %w", err)
		}
		err = c.call("com.atproto.repo.createRecord", nil, a.bearer(), map[string]any{
			"repo": a.DID, "collection": "com.example.bench.file", "record": map[string]any{"$type": "com.example.bench.file", "file": out.Blob},
		}, nil)
		if err != nil {
			return err
		}
		if a.Blobs == nil {
			a.Blobs = map[int]string{}
		}
		a.Blobs[size] = ref.Ref.Link
		return nil
	})
}
