package repo_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/bluesky-social/indigo/atproto/atcrypto"
	"github.com/ipfs/go-cid"
	cbor "github.com/ipfs/go-ipld-cbor"

	"github.com/auroralocus/locus/internal/vectors"
	"github.com/auroralocus/locus/repo"
	"github.com/auroralocus/locus/repo/dagcbor"
	"github.com/auroralocus/locus/repo/mst"
)

// signer signs with a key in the open.
type signer struct{ atcrypto.PrivateKey }

func (s signer) Sign(msg []byte) ([]byte, error) { return s.HashAndSign(msg) }

// signers are a key of each curve.
func signers(t testing.TB) map[string]signer {
	t.Helper()
	k, err := atcrypto.GeneratePrivateKeyK256()
	if err != nil {
		t.Fatal(err)
	}
	p, err := atcrypto.GeneratePrivateKeyP256()
	if err != nil {
		t.Fatal(err)
	}
	return map[string]signer{"K-256": {k}, "P-256": {p}}
}

func (s signer) public(t testing.TB) atcrypto.PublicKey {
	t.Helper()
	pub, err := s.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	return pub
}

const did = "did:plc:2a7ygipkrbh544aqhcav53oy"

func mustTID(s string) repo.TID {
	t, err := repo.ParseTID(s)
	if err != nil {
		panic(err)
	}
	return t
}

var groupOrders = map[string]*big.Int{
	"K-256": hexInt("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141"),
	"P-256": hexInt("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551"),
}

func hexInt(s string) *big.Int {
	n, _ := new(big.Int).SetString(s, 16)
	return n
}

func TestCommitObject(t *testing.T) {
	for curve, key := range signers(t) {
		c, err := repo.Init(did, mustTID("3jzfcijpj2z2a"), key)
		if err != nil {
			t.Fatal(err)
		}
		if c.Head.CID != dagcbor.CID(c.Block) || dagcbor.Validate(c.Block) != nil {
			t.Errorf("%s: %x", curve, c.Block)
		}
		s, err := repo.DecodeCommit(c.Block)
		if err != nil || s.DID != did || s.Rev.String() != "3jzfcijpj2z2a" || s.Data != mst.EmptyRoot || s.Prev.Defined() {
			t.Errorf("%s: %+v, %v", curve, s, err)
		}
		if !bytes.Equal(s.Block(), c.Block) {
			t.Errorf("%s: written again as %x", curve, s.Block())
		}
		if err := s.Verify(key.public(t)); err != nil {
			t.Errorf("%s: %v", curve, err)
		}

		// A witness that knows nothing of ours: the generic decoder, and its own encoding without sig.
		var m map[string]any
		if err := cbor.DecodeInto(c.Block, &m); err != nil || len(m) != 6 || m["version"] != 3 || m["prev"] != nil || m["data"] != mst.EmptyRoot {
			t.Errorf("%s: %v, %v", curve, m, err)
		}
		delete(m, "sig")
		unsigned, err := cbor.DumpObject(m)
		if err != nil || !bytes.Equal(unsigned, s.Unsigned()) {
			t.Errorf("%s: unsigned %x, want %x: %v", curve, s.Unsigned(), unsigned, err)
		}

		checkSignatures(t, curve, key, s)
	}
}

func checkSignatures(t *testing.T, curve string, key signer, s repo.SignedCommit) {
	t.Helper()
	high := slices.Clone(s.Sig)
	new(big.Int).Sub(groupOrders[curve], new(big.Int).SetBytes(high[32:])).FillBytes(high[32:])
	flipped := slices.Clone(s.Sig)
	flipped[40] ^= 1
	for name, sig := range map[string][]byte{"high S": high, "flipped": flipped, "short": s.Sig[:63], "none": nil, "long": append(slices.Clone(s.Sig), 0)} {
		bad := s
		bad.Sig = sig
		if err := bad.Verify(key.public(t)); !errors.Is(err, repo.ErrSignature) {
			t.Errorf("%s: %s: %v", curve, name, err)
		}
	}
	for name, bad := range map[string]repo.SignedCommit{
		"did":  {DID: did + "x", Rev: s.Rev, Data: s.Data, Sig: s.Sig},
		"rev":  {DID: did, Rev: s.Rev + 1, Data: s.Data, Sig: s.Sig},
		"data": {DID: did, Rev: s.Rev, Data: dagcbor.CID(nil), Sig: s.Sig},
		"prev": {DID: did, Rev: s.Rev, Data: s.Data, Prev: s.Data, Sig: s.Sig},
	} {
		if err := bad.Verify(key.public(t)); !errors.Is(err, repo.ErrSignature) {
			t.Errorf("%s: another %s: %v", curve, name, err)
		}
	}
	for other, k := range signers(t) {
		if err := s.Verify(k.public(t)); !errors.Is(err, repo.ErrSignature) {
			t.Errorf("%s: another %s key: %v", curve, other, err)
		}
	}
}

// TestSignatureVectors runs the interop vectors through the check that Verify makes.
func TestSignatureVectors(t *testing.T) {
	var list []struct {
		Comment, MessageBase64, PublicKeyDid, SignatureBase64 string
		ValidSignature                                        bool
	}
	vectors.JSON(t, &list, "crypto", "signature-fixtures.json")
	for _, v := range list {
		key, err := atcrypto.ParsePublicDIDKey(v.PublicKeyDid)
		if err != nil {
			t.Fatal(err)
		}
		msg, err1 := base64.RawStdEncoding.DecodeString(v.MessageBase64)
		sig, err2 := base64.RawStdEncoding.DecodeString(v.SignatureBase64)
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
		if err := key.HashAndVerify(msg, sig); (err == nil) != v.ValidSignature {
			t.Errorf("%s: %v", v.Comment, err)
		}
	}
	t.Logf("%d vectors", len(list))
}

// badSigner gives what it is told.
type badSigner struct {
	sig []byte
	err error
}

func (s badSigner) Sign([]byte) ([]byte, error) { return s.sig, s.err }

func TestSignerFails(t *testing.T) {
	broken := errors.New("broken")
	if _, err := repo.Init(did, 1, badSigner{err: broken}); !errors.Is(err, broken) {
		t.Error(err)
	}
	if _, err := repo.Init(did, 1, badSigner{sig: make([]byte, 70)}); !errors.Is(err, repo.ErrSignature) {
		t.Error(err)
	}
}

func goodCommit() repo.SignedCommit {
	return repo.SignedCommit{DID: did, Rev: mustTID("3jzfcijpj2z2a"), Data: mst.EmptyRoot, Sig: bytes.Repeat([]byte{1}, 64)}
}

func TestDecodeCommitRefuses(t *testing.T) {
	good := goodCommit().Block()
	sub := func(old, with string) []byte {
		if bytes.Count(good, []byte(old)) != 1 {
			t.Fatalf("%q is not in there once", old)
		}
		return bytes.Replace(good, []byte(old), []byte(with), 1)
	}
	noSig := goodCommit()
	noSig.Sig = nil
	longDID := goodCommit()
	longDID.DID = "did:plc:" + strings.Repeat("a", 2048)
	cases := map[string][]byte{
		"nothing":          nil,
		"unsigned":         goodCommit().Unsigned(),
		"trailing byte":    append(slices.Clone(good), 0),
		"version 2":        sub("gversion\x03", "gversion\x02"),
		"version 3.0":      sub("gversion\x03", "gversion\xf9\x42\x00"),
		"version long":     sub("gversion\x03", "gversion\x18\x03"),
		"no prev":          append([]byte{0xa5}, sub("dprev\xf6", "")[1:]...),
		"prev undefined":   sub("dprev\xf6", "dprev\xf7"),
		"extra field":      append(append([]byte{0xa7}, good[1:]...), "hversion2\x03"...),
		"field order":      sub("crevm3jzfcijpj2z2a", ""),
		"no DID":           sub(did, "dod"+did[3:]),
		"DID with a space": sub(did, did[:20]+" "+did[21:]),
		"long DID":         longDID.Block(),
		"rev no TID":       sub("m3jzfcijpj2z2a", "m3jzfcijpj2z21"),
		"rev long":         sub("m3jzfcijpj2z2a", "n3jzfcijpj2z2aa"),
		"empty sig":        noSig.Block(),
		"data raw":         sub("\x00\x01\x71\x12\x20", "\x00\x01\x55\x12\x20"),
		"data null":        sub("\xd8\x2a\x58\x25"+"\x00"+string(mst.EmptyRoot.Bytes()), "\xf6"),
	}
	for name, b := range cases {
		if c, err := repo.DecodeCommit(b); !errors.Is(err, repo.ErrCommit) {
			t.Errorf("%s: %+v, %v", name, c, err)
		}
	}
	old := goodCommit()
	old.Prev = mst.EmptyRoot
	if c, err := repo.DecodeCommit(old.Block()); err != nil || c.Prev != old.Prev {
		t.Errorf("with a link in prev: %+v, %v", c, err)
	}
}

func FuzzCommit(f *testing.F) {
	f.Add(goodCommit().Block())
	c := goodCommit()
	c.Prev = mst.EmptyRoot
	f.Add(c.Block())
	f.Add(c.Unsigned())
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := repo.DecodeCommit(b)
		if err != nil {
			return
		}
		if !bytes.Equal(c.Block(), b) {
			t.Fatalf("%x is written as %x", b, c.Block())
		}
		if err := dagcbor.Validate(b); err != nil {
			t.Fatalf("%x: %v", b, err)
		}
	})
}

func TestResign(t *testing.T) {
	keys := signers(t)
	c, err := repo.Init(did, 1<<20, keys["K-256"])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := repo.Resign(c.Head, c.Head.Rev, keys["P-256"]); !errors.Is(err, repo.ErrRev) {
		t.Error(err)
	}
	n, err := repo.Resign(c.Head, c.Head.Rev+1, keys["P-256"])
	if err != nil {
		t.Fatal(err)
	}
	s, err := repo.DecodeCommit(n.Block)
	if err != nil || s.Verify(keys["P-256"].public(t)) != nil || s.Data != c.Head.Data || s.Rev != c.Head.Rev+1 {
		t.Errorf("%+v, %v", s, err)
	}
	if n.Since != c.Head.Rev || n.PrevData != c.Head.Data || n.Head.CID == c.Head.CID || n.Diff.Root != c.Head.Data {
		t.Errorf("%+v", n)
	}
	if car := n.AppendCAR(nil); len(car) != n.CARLen() || len(sections(t, car)) != 1 {
		t.Errorf("%d bytes of car, %d", len(car), n.CARLen())
	}
	var undefined cid.Cid
	if c.PrevData != undefined || c.Since != 0 {
		t.Errorf("first commit: %+v", c)
	}
}
