package keyring

import (
	"encoding/hex"
	"testing"

	"github.com/bluesky-social/indigo/atproto/atcrypto"

	"github.com/auroralocus/locus/internal/vectors"
)

// w3cKeys are two of the did:key test vectors; all are run when the interop vectors are there.
var w3cKeys = []w3cKey{
	{"9085d2bef69286a6cbb51623c8fa258629945cd55ca705cc4e66700396894e0c", "did:key:zQ3shokFTS3brHcDQrn82RUDfCZESWL1ZdCEJwekUDPQiYBme"},
	{"f0f4df55a2b3ff13051ea814a8f24ad00f2e469af73c363ac7e9fb999a9072ed", "did:key:zQ3shtxV1FrJfhqE1dvxYRcCknWNjHc3c5X1y3ZSoPDi2aur2"},
}

type w3cKey struct {
	PrivateKeyBytesHex string `json:"privateKeyBytesHex"`
	PublicDidKey       string `json:"publicDidKey"`
}

func TestDIDKeyVectors(t *testing.T) {
	list := w3cKeys
	vectors.JSON(t, &list, "crypto", "w3c_didkey_K256.json")
	k, err := New(GenerateMaster(), 0)
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range list {
		raw, _ := hex.DecodeString(v.PrivateKeyBytesHex)
		key, err := atcrypto.ParsePrivateBytesK256(raw)
		if err != nil {
			t.Fatal(err)
		}
		s, err := newSigner(key)
		if err != nil {
			t.Fatal(err)
		}
		sealed, err := k.SealSigningKey("t_a", int64(i), s)
		if err != nil {
			t.Fatal(err)
		}
		opened, err := k.Signer("t_a", int64(i), sealed)
		if err != nil || opened.PublicDIDKey() != v.PublicDidKey {
			t.Errorf("vector %d: %v", i, err)
		}
	}
	t.Logf("%d vectors", len(list))
}
