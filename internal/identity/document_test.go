package identity

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"testing"

	"github.com/bluesky-social/indigo/atproto/atcrypto"
	"github.com/did-method-plc/go-didplc"
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

// The atproto signature vectors: keys in did:key and in the older document form,
// low s demanded, DER refused.
func TestSignatureVectors(t *testing.T) {
	p := fixture("crypto", "signature-fixtures.json")
	if p == "" {
		t.Log("0 vectors: no shared fixtures here")
		return
	}
	b, err := os.ReadFile(p)
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct {
		Comment            string   `json:"comment"`
		MessageBase64      string   `json:"messageBase64"`
		DIDDocSuite        string   `json:"didDocSuite"`
		PublicKeyDID       string   `json:"publicKeyDid"`
		PublicKeyMultibase string   `json:"publicKeyMultibase"`
		SignatureBase64    string   `json:"signatureBase64"`
		ValidSignature     bool     `json:"validSignature"`
		Tags               []string `json:"tags"`
	}
	if err := json.Unmarshal(b, &vectors); err != nil {
		t.Fatal(err)
	}
	for _, v := range vectors {
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
	t.Logf("%d vectors", len(vectors))
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
