package keyring_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"sync"
	"testing"

	"github.com/bluesky-social/indigo/atproto/atcrypto"

	"github.com/auroralocus/locus/internal/cache/cachetest"
	"github.com/auroralocus/locus/internal/keyring"
)

func newRing(t testing.TB, m *keyring.Master) *keyring.Keyring {
	t.Helper()
	k, err := keyring.New(m, 0)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestSigningKeyRoundTrip(t *testing.T) {
	k := newRing(t, keyring.GenerateMaster())
	s, err := k.GenerateSigningKey()
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := k.SealSigningKey("t_a", 7, s)
	if err != nil {
		t.Fatal(err)
	}
	opened, err := k.Signer("t_a", 7, sealed)
	if err != nil {
		t.Fatal(err)
	}
	if opened.PublicDIDKey() != s.PublicDIDKey() {
		t.Fatalf("opened %s, sealed %s", opened.PublicDIDKey(), s.PublicDIDKey())
	}
	again, _ := k.Signer("t_a", 7, sealed)
	if again != opened {
		t.Error("the parsed key was not kept")
	}
	k.Forget("t_a", 7)
	if again, _ = k.Signer("t_a", 7, sealed); again == opened {
		t.Error("the forgotten key is still there")
	}

	pub, err := atcrypto.ParsePublicDIDKey(s.PublicDIDKey())
	if err != nil {
		t.Fatal(err)
	}
	halfOrder, _ := new(big.Int).SetString("7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0", 16)
	for i := range 64 {
		msg := fmt.Appendf(nil, "message %d", i)
		sig, err := opened.Sign(msg)
		if err != nil {
			t.Fatal(err)
		}
		if len(sig) != 64 || new(big.Int).SetBytes(sig[32:]).Cmp(halfOrder) > 0 {
			t.Fatalf("signature of %d bytes, or with a high s", len(sig))
		}
		if err := pub.HashAndVerify(msg, sig); err != nil {
			t.Fatal(err)
		}
	}
}

// A sealed secret opens only where it was sealed: not for another account, not for another tenant, not as another kind
// of key, and not with a bit changed.
func TestBinding(t *testing.T) {
	k := newRing(t, keyring.GenerateMaster())
	s, _ := k.GenerateSigningKey()
	sealed, err := k.SealSigningKey("t_a", 7, s)
	if err != nil {
		t.Fatal(err)
	}
	mac, err := k.GenerateMACKey("t_a", "jwt")
	if err != nil {
		t.Fatal(err)
	}
	refused := map[string]func() error{
		"another account": func() error { _, err := k.Signer("t_a", 8, sealed); return err },
		"another tenant":  func() error { _, err := k.Signer("t_b", 7, sealed); return err },
		"shifted names":   func() error { _, err := k.Signer("t_a7", 7, sealed); return err },
		"as rotation key": func() error { _, err := k.RotationSigner("t_a", sealed); return err },
		"as mac":          func() error { _, err := k.MAC("t_a", "jwt", sealed); return err },
		"mac as key":      func() error { _, err := k.Signer("t_a", 7, mac); return err },
		"mac purpose":     func() error { _, err := k.MAC("t_a", "dpop", mac); return err },
		"mac tenant":      func() error { _, err := k.MAC("t_b", "jwt", mac); return err },
		"empty":           func() error { _, err := k.Signer("t_a", 7, nil); return err },
		"another master": func() error {
			_, err := newRing(t, keyring.GenerateMaster()).Signer("t_a", 7, sealed)
			return err
		},
	}
	for name, f := range refused {
		if err := f(); !errors.Is(err, keyring.ErrSealed) {
			t.Errorf("%s: %v, want ErrSealed", name, err)
		}
	}
	for i := range sealed {
		bad := bytes.Clone(sealed)
		bad[i] ^= 1
		if _, err := k.Signer("t_a", 7, bad); err == nil {
			t.Fatalf("opened with byte %d changed", i)
		}
		if _, err := k.Signer("t_a", 7, sealed[:i]); err == nil {
			t.Fatalf("opened when cut at %d", i)
		}
	}
	if _, err := k.SealSigningKey("", 7, s); !errors.Is(err, keyring.ErrBinding) {
		t.Errorf("empty schema: %v", err)
	}
	if _, err := k.Open(keyring.SigningKeyBinding("t_a", 7), sealed); !errors.Is(err, keyring.ErrKeyPurpose) {
		t.Errorf("Open of a signing key: %v", err)
	}
	if _, err := k.Open(keyring.MACBinding("t_a", "jwt"), mac); !errors.Is(err, keyring.ErrKeyPurpose) {
		t.Errorf("Open of a mac key: %v", err)
	}
}

func TestReplacedKeyTakesEffect(t *testing.T) {
	k := newRing(t, keyring.GenerateMaster())
	var want [2]string
	var sealed [2][]byte
	for i := range want {
		s, _ := k.GenerateSigningKey()
		want[i] = s.PublicDIDKey()
		sealed[i], _ = k.SealSigningKey("t_a", 1, s)
	}
	for _, i := range []int{0, 1, 0, 1} {
		if s, err := k.Signer("t_a", 1, sealed[i]); err != nil || s.PublicDIDKey() != want[i] {
			t.Fatalf("key %d: %v", i, err)
		}
	}
}

// TestCacheIsBounded: parsed keys take no more memory than they may, and one tenant's push out none of another's.
func TestCacheIsBounded(t *testing.T) {
	const bound = 1 << 20
	k, err := keyring.New(keyring.GenerateMaster(), bound)
	if err != nil {
		t.Fatal(err)
	}
	s, _ := k.GenerateSigningKey()
	open := func(schema string, aid int64, sealed []byte) *keyring.Signer {
		signer, err := k.Signer(schema, aid, sealed)
		if err != nil {
			t.Fatal(err)
		}
		return signer
	}
	other, _ := k.SealSigningKey("t_b", 1, s)
	kept := open("t_b", 1, other)
	before := cachetest.LiveHeap()
	for aid := range int64(4000) {
		sealed, _ := k.SealSigningKey("t_a", aid, s)
		open("t_a", aid, sealed)
	}
	if grown := cachetest.LiveHeap() - before; grown > bound+bound/4 || grown < bound/2 {
		t.Errorf("the heap grew by %d KiB, bound %d KiB", grown>>10, bound>>10)
	}
	if open("t_b", 1, other) != kept {
		t.Error("another tenant's key was pushed out")
	}
}

func TestMAC(t *testing.T) {
	k := newRing(t, keyring.GenerateMaster())
	sealed, err := k.GenerateMACKey("t_a", "jwt")
	if err != nil {
		t.Fatal(err)
	}
	m, err := k.MAC("t_a", "jwt", sealed)
	if err != nil {
		t.Fatal(err)
	}
	tag := m.Sign([]byte("x"))
	if len(tag) != 32 || !m.Verify([]byte("x"), tag) || m.Verify([]byte("y"), tag) || m.Verify([]byte("x"), tag[:31]) || m.Verify([]byte("x"), nil) {
		t.Error("the tag does not verify as it should")
	}
	empty := hmac.New(sha256.New, make([]byte, 32))
	empty.Write([]byte("x"))
	if bytes.Equal(tag, empty.Sum(nil)) {
		t.Error("the key is zero: it was wiped before it was copied")
	}
	other, _ := k.GenerateMACKey("t_a", "jwt")
	m2, _ := k.MAC("t_a", "jwt", other)
	if m2.Verify([]byte("x"), tag) {
		t.Error("two keys made the same tag")
	}
}

func TestSealOpen(t *testing.T) {
	k := newRing(t, keyring.GenerateMaster())
	b := keyring.Binding{Schema: "t_a", Purpose: "smtp"}
	one, err := k.Seal(b, []byte("hunter2"))
	if err != nil {
		t.Fatal(err)
	}
	two, _ := k.Seal(b, []byte("hunter2"))
	if bytes.Equal(one, two) || bytes.Contains(one, []byte("hunter2")) {
		t.Error("sealing is not randomized")
	}
	if got, err := k.Open(b, one); err != nil || string(got) != "hunter2" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := k.Seal(keyring.RotationKeyBinding("t_a"), []byte("x")); !errors.Is(err, keyring.ErrKeyPurpose) {
		t.Errorf("sealing a foreign rotation key: %v", err)
	}
}

// Nothing that can reach a key prints it, whatever the verb and however deep.
func TestNothingIsRevealed(t *testing.T) {
	// A signing key and a master of known bytes.
	master, err := keyring.ParseMaster("1:" + "4142434445464748494a4b4c4d4e4f505152535455565758595a616263646566")
	if err != nil {
		t.Fatal(err)
	}
	k := newRing(t, master)
	s, _ := k.GenerateSigningKey()
	rotation, _, _ := k.GenerateRotationKey("t_a")
	r, _ := k.RotationSigner("t_a", rotation)
	sealed, _ := k.GenerateMACKey("t_a", "jwt")
	m, _ := k.MAC("t_a", "jwt", sealed)
	type nested struct {
		visible any
		Ring    *keyring.Keyring
		ring    *keyring.Keyring
		signer  keyring.Signer
		master  keyring.Master
		mac     *keyring.MAC
	}
	for _, v := range []any{master, *master, k, *k, s, *s, r, m, *m} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%p"} {
			if got := fmt.Sprintf(verb, v); got != "redacted" && verb != "%p" {
				t.Errorf("%T with %s prints %q", v, verb, got)
			}
		}
		js, err := json.Marshal(v)
		if err != nil || string(js) != `"redacted"` {
			t.Errorf("%T as JSON: %s, %v", v, js, err)
		}
		var log bytes.Buffer
		slog.New(slog.NewTextHandler(&log, nil)).Info("x", "v", v)
		slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "v", v)
		if n := bytes.Count(log.Bytes(), []byte("redacted")); n != 2 {
			t.Errorf("%T logs %s", v, log.String())
		}
	}
	n := nested{k, k, k, *s, *master, m}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		got := fmt.Sprintf(verb, n)
		for _, leak := range []string{"ABCDEFGH", "4142434445464748", "65 66 67", "0x41, 0x42", "65, 66"} {
			if bytes.Contains([]byte(got), []byte(leak)) {
				t.Errorf("%s of a struct around it prints %s", verb, got)
			}
		}
	}
	for _, f := range []func() error{
		func() error { _, err := keyring.ParseMaster("4142434445464748"); return err },
		func() error {
			_, err := k.Signer("t_a", 1, []byte("ABCDEFGHABCDEFGHABCDEFGHABCDEFGHABCDEFGH"))
			return err
		},
	} {
		if err := f(); err == nil || bytes.Contains([]byte(err.Error()), []byte("41424344")) || bytes.Contains([]byte(err.Error()), []byte("ABCD")) {
			t.Errorf("error %v", err)
		}
	}
}

func TestConcurrentUse(t *testing.T) {
	k, _ := keyring.New(keyring.GenerateMaster(), 4<<10)
	s, _ := k.GenerateSigningKey()
	sealed := make([][]byte, 8)
	for aid := range sealed {
		sealed[aid], _ = k.SealSigningKey("t_a", int64(aid), s)
	}
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 40 {
				aid := int64((i + g) % len(sealed))
				opened, err := k.Signer("t_a", aid, sealed[aid])
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := opened.Sign([]byte("x")); err != nil {
					t.Error(err)
				}
				if i%10 == 0 {
					k.Forget("t_a", aid)
				}
			}
		})
	}
	wg.Wait()
}

func BenchmarkSign(b *testing.B) {
	k := newRing(b, keyring.GenerateMaster())
	s, _ := k.GenerateSigningKey()
	msg := make([]byte, 200)
	for b.Loop() {
		_, _ = s.Sign(msg)
	}
}

func BenchmarkOpenCold(b *testing.B) {
	k := newRing(b, keyring.GenerateMaster())
	s, _ := k.GenerateSigningKey()
	sealed, _ := k.SealSigningKey("t_a", 1, s)
	for b.Loop() {
		k.Forget("t_a", 1)
		_, _ = k.Signer("t_a", 1, sealed)
	}
}

func BenchmarkOpenWarm(b *testing.B) {
	k := newRing(b, keyring.GenerateMaster())
	s, _ := k.GenerateSigningKey()
	sealed, _ := k.SealSigningKey("t_a", 1, s)
	for b.Loop() {
		_, _ = k.Signer("t_a", 1, sealed)
	}
}
