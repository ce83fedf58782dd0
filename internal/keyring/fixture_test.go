package keyring

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/bluesky-social/indigo/atproto/atcrypto"
)

// w3cKeys are two of the did:key test vectors; all are run when the shared
// fixtures are there.
var w3cKeys = []w3cKey{
	{"9085d2bef69286a6cbb51623c8fa258629945cd55ca705cc4e66700396894e0c", "did:key:zQ3shokFTS3brHcDQrn82RUDfCZESWL1ZdCEJwekUDPQiYBme"},
	{"f0f4df55a2b3ff13051ea814a8f24ad00f2e469af73c363ac7e9fb999a9072ed", "did:key:zQ3shtxV1FrJfhqE1dvxYRcCknWNjHc3c5X1y3ZSoPDi2aur2"},
}

type w3cKey struct {
	PrivateKeyBytesHex string `json:"privateKeyBytesHex"`
	PublicDidKey       string `json:"publicDidKey"`
}

func TestDIDKeyVectors(t *testing.T) {
	vectors := w3cKeys
	if dir := fixtureDir(); dir != "" {
		b, err := os.ReadFile(filepath.Join(dir, "crypto", "w3c_didkey_K256.json"))
		if err != nil {
			t.Fatal(err)
		}
		vectors = nil
		if err := json.Unmarshal(b, &vectors); err != nil {
			t.Fatal(err)
		}
	}
	k, err := New(GenerateMaster(), 0)
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range vectors {
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
	t.Logf("%d vectors", len(vectors))
}

// fixtureDir is the shared fixtures' folder beside a parent of this one, or "".
func fixtureDir() string {
	dir, _ := os.Getwd()
	for ; ; dir = filepath.Dir(dir) {
		if p := filepath.Join(dir, "shared", "fixtures"); isDir(p) {
			return p
		}
		if dir == filepath.Dir(dir) {
			return ""
		}
	}
}

func isDir(p string) bool {
	st, err := os.Stat(p)
	return err == nil && st.IsDir()
}
