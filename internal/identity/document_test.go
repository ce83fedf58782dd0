package identity

import (
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/bluesky-social/indigo/atproto/atcrypto"
	"github.com/did-method-plc/go-didplc"
	"github.com/mr-tron/base58"

	"github.com/auroralocus/locus/internal/vectors"
)

const exampleDID = "did:plc:ewvi7nxzyoun6zhxrhs64oiz"

func TestParseDocument(t *testing.T) {
	const body = `{
	  "@context": "https://www.w3.org/ns/did/v1", "id": "` + exampleDID + `", "unknown": {"kept": [1]},
	  "alsoKnownAs": ["https://example.com", "at://not a handle", "at://Alice.Test", "at://second.test"],
	  "verificationMethod": [
	    "did:key:elsewhere",
	    {"id": "#atproto", "type": "Multikey", "controller": "did:web:somebody.else", "publicKeyMultibase": "zQ3shokFTS3brHcDQrn82RUDfCZESWL1ZdCEJwekUDPQiYBme"},
	    {"id": "` + exampleDID + `#atproto", "type": "Multikey", "controller": "` + exampleDID + `", "publicKeyMultibase": "zQ3shtxV1FrJfhqE1dvxYRcCknWNjHc3c5X1y3ZSoPDi2aur2"},
	    {"id": "#atproto", "type": "Multikey", "controller": "` + exampleDID + `", "publicKeyMultibase": "zQ3shokFTS3brHcDQrn82RUDfCZESWL1ZdCEJwekUDPQiYBme"},
	    {"id": "#jwk", "type": "JsonWebKey2020", "controller": "` + exampleDID + `", "publicKeyJwk": {"kty": "EC"}},
	    {"id": "#broken", "type": "Multikey", "controller": "` + exampleDID + `", "publicKeyMultibase": "mBase64"}],
	  "service": [
	    {"id": "#linked", "type": "LinkedDomains", "serviceEndpoint": {"origins": ["https://example.com"]}},
	    {"id": "#atproto_pds", "type": "Other", "serviceEndpoint": "https://wrong.example"},
	    {"id": "` + exampleDID + `#atproto_pds", "type": "AtprotoPersonalDataServer", "serviceEndpoint": "https://pds.example"}]}`
	d, err := ParseDocument(exampleDID, []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	if d.Handle() != "alice.test" || !d.HasHandle("SECOND.test") || d.HasHandle("third.test") || d.PDS() != "https://pds.example" {
		t.Error(d.Handle(), d.PDS())
	}
	if key, err := d.SigningKey(); err != nil || key != "did:key:zQ3shtxV1FrJfhqE1dvxYRcCknWNjHc3c5X1y3ZSoPDi2aur2" {
		t.Error(key, err)
	}
	for fragment, want := range map[string]error{"jwk": ErrDocument, "broken": ErrDocument, "none": ErrNoKey, "": ErrNoKey} {
		if _, err := d.Key(fragment); !errors.Is(err, want) {
			t.Errorf("#%s: %v", fragment, err)
		}
	}
	if _, err := d.FindService("atproto_labeler", ""); !errors.Is(err, ErrNoService) {
		t.Error(err)
	}
	var back, want any
	out, err := json.Marshal(map[string]any{"didDoc": d})
	if err != nil || json.Unmarshal(out, &back) != nil || json.Unmarshal([]byte(`{"didDoc":`+body+`}`), &want) != nil {
		t.Fatal(err)
	}
	if a, b := asJSON(t, back), asJSON(t, want); a != b {
		t.Errorf("written out as %s", a)
	}

	for _, bad := range []string{``, `[]`, `null`, `{}`, `{"id":"did:web:somebody.else"}`, `{"id":7}`, body + "x"} {
		if _, err := ParseDocument(exampleDID, []byte(bad)); !errors.Is(err, ErrDocument) {
			t.Errorf("%.30q: %v", bad, err)
		}
	}
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// The same rules with keys of our own: the key in each form that documents have, high s and DER refused.
func TestSignatureForms(t *testing.T) {
	k256, err1 := atcrypto.GeneratePrivateKeyK256()
	p256, err2 := atcrypto.GeneratePrivateKeyP256()
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		old string
		key atcrypto.PrivateKey
		n   *big.Int
	}{
		{"EcdsaSecp256k1VerificationKey2019", k256, order("FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141")},
		{"EcdsaSecp256r1VerificationKey2019", p256, order("FFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551")},
	} {
		public, err := c.key.PublicKey()
		if err != nil {
			t.Fatal(err)
		}
		msg := []byte("a message")
		sig, err := c.key.HashAndSign(msg)
		if err != nil {
			t.Fatal(err)
		}
		high := slices.Clone(sig)
		new(big.Int).Sub(c.n, new(big.Int).SetBytes(sig[32:])).FillBytes(high[32:])
		der, err := asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:])})
		if err != nil {
			t.Fatal(err)
		}
		multikey := strings.TrimPrefix(public.DIDKey(), "did:key:")
		uncompressed := "z" + base58.Encode(public.UncompressedBytes())
		for form, text := range map[string]string{"Multikey": multikey, c.old: uncompressed} {
			d := Document{ID: exampleDID, VerificationMethod: []VerificationMethod{{
				ID: "#atproto", Type: form, Controller: exampleDID, PublicKeyMultibase: text,
			}}}
			key, err := d.Key(KeyAtproto)
			if err != nil {
				t.Errorf("%s: %v", form, err)
				continue
			}
			if key.DIDKey() != public.DIDKey() {
				t.Errorf("%s: the document's key is %s", form, key.DIDKey())
			}
			if err := key.HashAndVerify(msg, sig); err != nil {
				t.Errorf("%s: %v", form, err)
			}
			for what, bad := range map[string][]byte{"high s": high, "DER": der, "short": sig[:63], "another message": append(slices.Clone(sig[1:]), sig[0])} {
				if key.HashAndVerify(msg, bad) == nil {
					t.Errorf("%s: %s is accepted", form, what)
				}
			}
		}
	}
}

func order(hex string) *big.Int {
	n, _ := new(big.Int).SetString(hex, 16)
	return n
}

// The atproto signature vectors: keys in did:key and in the older document form,
// low s demanded, DER refused.
func TestSignatureVectors(t *testing.T) {
	var list []struct {
		Comment            string   `json:"comment"`
		MessageBase64      string   `json:"messageBase64"`
		DIDDocSuite        string   `json:"didDocSuite"`
		PublicKeyDID       string   `json:"publicKeyDid"`
		PublicKeyMultibase string   `json:"publicKeyMultibase"`
		SignatureBase64    string   `json:"signatureBase64"`
		ValidSignature     bool     `json:"validSignature"`
		Tags               []string `json:"tags"`
	}
	vectors.JSON(t, &list, "crypto", "signature-fixtures.json")
	for _, v := range list {
		msg, err1 := base64.RawStdEncoding.DecodeString(v.MessageBase64)
		sig, err2 := base64.RawStdEncoding.DecodeString(v.SignatureBase64)
		key, err3 := atcrypto.ParsePublicDIDKey(v.PublicKeyDID)
		d := Document{ID: exampleDID, VerificationMethod: []VerificationMethod{{
			ID: "#atproto", Type: v.DIDDocSuite, Controller: exampleDID, PublicKeyMultibase: v.PublicKeyMultibase,
		}}}
		old, err4 := d.Key(KeyAtproto)
		if err := errors.Join(err1, err2, err3, err4); err != nil {
			t.Fatal(v.Comment, err)
		}
		if old.DIDKey() != v.PublicKeyDID {
			t.Errorf("%s: the document's key is %s", v.Comment, old.DIDKey())
		}
		if err := key.HashAndVerify(msg, sig); (err == nil) != v.ValidSignature {
			t.Errorf("%s: %v", v.Comment, err)
		}
	}
	t.Logf("%d vectors", len(list))
}

func TestPLCDocumentOfLegacy(t *testing.T) {
	op := &didplc.LegacyOp{
		Type: "create", SigningKey: "did:key:zDnaeTiq1PdzvZXUaMdezchcMJQpBdH2VN4pgrrEhMCCbmwSb",
		RecoveryKey: "did:key:zQ3shokFTS3brHcDQrn82RUDfCZESWL1ZdCEJwekUDPQiYBme", Handle: "alice.test", Service: "pds.example",
	}
	d, err := PLCDocument(exampleDID, op)
	if err != nil {
		t.Fatal(err)
	}
	if d.Handle() != "alice.test" || d.PDS() != "https://pds.example" || d.Context[2] != contextP256 {
		t.Errorf("%+v", d)
	}
	if _, err := PLCDocument(exampleDID, &didplc.TombstoneOp{}); !errors.Is(err, ErrDIDTombstoned) {
		t.Error(err)
	}
	if s, err := ServiceDocument("did:web:pds.test", "https://pds.test").FindService(ServicePDS, ServicePDSType); err != nil || s.Endpoint != "https://pds.test" {
		t.Error(s, err)
	}
}

func TestSetHandle(t *testing.T) {
	for _, c := range []struct{ before, after []string }{
		{nil, []string{"at://n.test"}},
		{[]string{"at://o.test"}, []string{"at://n.test"}},
		{[]string{"https://x", "at://o.test", "at://p.test"}, []string{"https://x", "at://n.test", "at://p.test"}},
		{[]string{"https://x"}, []string{"at://n.test", "https://x"}},
		{[]string{"at://o.test", "at://n.test"}, []string{"at://n.test"}},
	} {
		op := &didplc.RegularOp{AlsoKnownAs: c.before}
		SetHandle(op, "n.test")
		if asJSON(t, op.AlsoKnownAs) != asJSON(t, c.after) {
			t.Errorf("%v became %v", c.before, op.AlsoKnownAs)
		}
	}
}

func FuzzParseOperation(f *testing.F) {
	f.Add([]byte(`{"type":"plc_tombstone","prev":"x","sig":"x"}`))
	f.Add([]byte(`{"type":"plc_operation","rotationKeys":[],"verificationMethods":{},"alsoKnownAs":[],"services":{"a":{"type":"","endpoint":""}},"prev":null,"sig":"x"}`))
	f.Add([]byte(`{"type":"create","signingKey":"","recoveryKey":"","handle":"","service":"","prev":null,"sig":""}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		op, err := ParseOperation(b)
		if err != nil {
			return
		}
		// What is stored and sent on is the operation that was signed.
		out, err := MarshalOperation(op)
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseOperation(out)
		if err != nil || again.CID() != op.CID() {
			t.Fatalf("%s came back as %s: %v", b, out, err)
		}
	})
}
