package repo_test

import (
	"bytes"
	"fmt"
	"log"
	"time"

	"github.com/bluesky-social/indigo/atproto/atcrypto"
	"github.com/ipfs/go-cid"

	"github.com/auroralocus/locus/repo"
	"github.com/auroralocus/locus/repo/car"
	"github.com/auroralocus/locus/repo/dagcbor"
	"github.com/auroralocus/locus/repo/mst"
)

// exampleSigner is a key; the servers' own are in a room that shows nobody their bytes.
type exampleSigner struct{ key *atcrypto.PrivateKeyK256 }

func (s exampleSigner) Sign(msg []byte) ([]byte, error) { return s.key.HashAndSign(msg) }

// A repository begins with a commit of the empty tree. Each write makes the next commit.
func ExampleApply() {
	key, err := atcrypto.GeneratePrivateKeyK256()
	if err != nil {
		log.Fatal(err)
	}
	signer := exampleSigner{key}
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

	first, err := repo.Init("did:plc:ewvi7nxzyoun6zhxrhs64oiz", repo.NextRev(0, now), signer)
	if err != nil {
		log.Fatal(err)
	}
	post, err := dagcbor.FromJSON([]byte(`{"$type":"app.bsky.feed.post","text":"hello","createdAt":"2026-01-02T03:04:05.000Z"}`), dagcbor.Limits{})
	if err != nil {
		log.Fatal(err)
	}
	nodes := mst.Blocks{} // a store keeps the nodes; the loader reads them
	for _, n := range first.Diff.New {
		nodes.Add(n)
	}
	second, err := repo.Apply(first.Head, []repo.Write{
		{Action: repo.ActionCreate, Path: "app.bsky.feed.post/3jzfcijpj2z2a", Record: post},
	}, nodes.Load, repo.NextRev(first.Head.Rev, now), signer)
	if err != nil {
		log.Fatal(err)
	}
	for _, op := range second.Ops {
		fmt.Println(op.Path, op.CID)
	}
	fmt.Println("since", second.Since == first.Head.Rev, "from", second.PrevData == mst.EmptyRoot)
	// Output:
	// app.bsky.feed.post/3jzfcijpj2z2a bafyreig5zutenfh65ephz4tsdckdiz2dxauov54cbskgb3kyhtpgv5pbza
	// since true from true
}

// An archive from elsewhere is checked whole: form, digests, tree, signature, records.
func ExampleVerify() {
	key, err := atcrypto.GeneratePrivateKeyK256()
	if err != nil {
		log.Fatal(err)
	}
	did := "did:plc:ewvi7nxzyoun6zhxrhs64oiz"
	first, err := repo.Init(did, repo.NextRev(0, time.Now()), exampleSigner{key})
	if err != nil {
		log.Fatal(err)
	}
	var archive bytes.Buffer
	w, err := car.NewWriter(&archive, first.Head.CID)
	if err == nil {
		err = w.Put(first.Head.CID, first.Block)
	}
	if err == nil {
		err = w.Put(mst.EmptyRoot, mst.EmptyBlock())
	}
	if err != nil {
		log.Fatal(err)
	}
	public, err := key.PublicKey()
	if err != nil {
		log.Fatal(err)
	}
	found, err := repo.Verify(&archive, did, public, repo.VerifyOptions{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(found.Count, "records,", found.Nodes, "node, tree", found.Commit.Data == mst.EmptyRoot)

	_, err = repo.Verify(bytes.NewReader(nil), did, public, repo.VerifyOptions{})
	fmt.Println(err)
	// Output:
	// 0 records, 1 node, tree true
	// read header: empty archive: car: archive ends inside a section
}

// What a commit did can be undone from its event alone: the tree before it has the root that the event names.
func ExampleInvert() {
	nodes := mst.Blocks{}
	tree := mst.Open(mst.EmptyRoot, func(c cid.Cid) ([]byte, error) {
		if c == mst.EmptyRoot {
			return mst.EmptyBlock(), nil
		}
		return nodes.Load(c)
	})
	record := dagcbor.CID([]byte{0xa0})
	if err := tree.Insert("app.bsky.feed.like/3jzfcijpj2z2a", record); err != nil {
		log.Fatal(err)
	}
	diff, err := tree.Commit()
	if err != nil {
		log.Fatal(err)
	}
	for _, n := range diff.New {
		nodes.Add(n)
	}
	before, err := repo.Invert([]repo.Op{{Action: repo.ActionCreate, Path: "app.bsky.feed.like/3jzfcijpj2z2a", CID: record}}, diff.Root, nodes.Load)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(before == mst.EmptyRoot)
	// Output: true
}
