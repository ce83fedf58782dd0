package identity

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/bluesky-social/indigo/atproto/atcrypto"
	"github.com/did-method-plc/go-didplc"
	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/mr-tron/base58"

	"github.com/auroralocus/locus/internal/syntax"
)

// Fragments and types of what atproto looks for in a DID document.
// spec: did#did-documents
const (
	KeyAtproto     = "atproto"
	ServicePDS     = "atproto_pds"
	ServicePDSType = "AtprotoPersonalDataServer"
)

// Limits of what is kept of a document. A directory's have all room in them; what
// others write beyond is passed over.
const (
	maxEntries = 64      // of each list
	maxRaw     = 8 << 10 // a larger document is not kept as it came
)

// Document is a DID document. One that was resolved is written out again as it
// came, members unknown here included; what a [Resolver] keeps of a large one is
// only what is read here, see [Document.Whole].
type Document struct {
	Context            []string             `json:"@context"`
	ID                 string               `json:"id"`
	AlsoKnownAs        []string             `json:"alsoKnownAs"`
	VerificationMethod []VerificationMethod `json:"verificationMethod"`
	Service            []Service            `json:"service"`

	raw  json.RawMessage
	part bool // more came than is left
}

// Whole tells that nothing of the document was left out.
func (d *Document) Whole() bool { return !d.part }

// kept is what stays in memory of a document that has been answered with.
func (d *Document) kept() *Document {
	if len(d.raw) <= maxRaw {
		return d
	}
	small := *d
	small.raw, small.part = nil, true
	return &small
}

// bytes is what a document takes in memory, strings and lists.
func (d *Document) bytes() int64 {
	const (
		itself = 192
		text   = 16 // a string without its letters, and what an allocation wastes
	)
	n := itself + len(d.ID) + cap(d.raw) + 2*text*(cap(d.Context)+cap(d.AlsoKnownAs)) + 6*text*cap(d.VerificationMethod) + 5*text*cap(d.Service)
	for _, s := range d.Context {
		n += len(s)
	}
	for _, s := range d.AlsoKnownAs {
		n += len(s)
	}
	for i := range d.VerificationMethod {
		vm := &d.VerificationMethod[i]
		n += len(vm.ID) + len(vm.Type) + len(vm.Controller) + len(vm.PublicKeyMultibase)
	}
	for i := range d.Service {
		s := &d.Service[i]
		n += len(s.ID) + len(s.Type) + len(s.Endpoint)
	}
	return int64(n)
}

// VerificationMethod is a public key in a DID document.
type VerificationMethod struct {
	ID                 string `json:"id"`
	Type               string `json:"type"`
	Controller         string `json:"controller"`
	PublicKeyMultibase string `json:"publicKeyMultibase"`
}

// Service is a service in a DID document.
type Service struct {
	ID       string `json:"id"`
	Type     string `json:"type"`
	Endpoint string `json:"serviceEndpoint"`
}

// ParseDocument reads the document of did as the network serves it. Entries of
// a form atproto does not use (services whose endpoint is not a string, keys in
// JWK form) are passed over, and so is what comes after the first 64 of a list; a
// document with another id is refused with [ErrDocument].
func ParseDocument(did string, b []byte) (*Document, error) {
	var in struct {
		Context            jsontext.Value           `json:"@context"`
		ID                 string                   `json:"id"`
		AlsoKnownAs        some[string]             `json:"alsoKnownAs"`
		VerificationMethod some[VerificationMethod] `json:"verificationMethod"`
		Service            some[Service]            `json:"service"`
	}
	if err := jsonv2.Unmarshal(b, &in, asServed); err != nil {
		return nil, fmt.Errorf("%w: %s: not the JSON of one", ErrDocument, did)
	}
	if in.ID != did {
		return nil, fmt.Errorf("%w: that of %s has another id", ErrDocument, did)
	}
	var contexts some[string]
	if in.Context != nil && jsonv2.Unmarshal(in.Context, &contexts, asServed) != nil {
		contexts = nil // an object: nothing that is read here
	}
	return &Document{
		ID: did, Context: contexts, AlsoKnownAs: in.AlsoKnownAs,
		VerificationMethod: in.VerificationMethod, Service: in.Service, raw: slices.Clone(b),
	}, nil
}

// some is the first entries of a list that have the form.
type some[T any] []T

// UnmarshalJSONFrom reads entry by entry, so that a list of very many takes nothing.
func (s *some[T]) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	if dec.PeekKind() != '[' {
		var lone T // as @context may be
		null := dec.PeekKind() == 'n'
		if err := jsonv2.UnmarshalDecode(dec, &lone); err != nil || null {
			return err
		}
		*s = some[T]{lone}
		return nil
	}
	if _, err := dec.ReadToken(); err != nil {
		return err
	}
	for dec.PeekKind() != ']' {
		if len(*s) == maxEntries {
			if err := dec.SkipValue(); err != nil {
				return err
			}
			continue
		}
		raw, err := dec.ReadValue()
		if err != nil {
			return err
		}
		var v T
		if jsonv2.Unmarshal(raw, &v, asServed) == nil {
			*s = append(*s, v)
		}
	}
	_, err := dec.ReadToken()
	return err
}

// asServed is how documents are read: what others let pass does not make one useless.
var asServed = jsonv2.JoinOptions(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))

// MarshalJSON writes a resolved document as it came.
func (d *Document) MarshalJSON() ([]byte, error) {
	if d.raw != nil {
		return d.raw, nil
	}
	type plain Document
	return jsonv2.Marshal((*plain)(d)) // which leaves <, > and & alone
}

// fragment returns the part after # of an id that is relative or starts with
// the document's DID.
func (d *Document) fragment(id string) string {
	rest, ok := strings.CutPrefix(id, d.ID)
	if !ok {
		rest = id
	}
	if f, ok := strings.CutPrefix(rest, "#"); ok {
		return f
	}
	return ""
}

// Handle is the handle the document claims: the first valid at:// name, in
// lower case, or "". Nothing says that it leads back here: see
// [Resolver.VerifiedHandle].
func (d *Document) Handle() string {
	for _, aka := range d.AlsoKnownAs {
		if name, ok := strings.CutPrefix(aka, "at://"); ok {
			if syntax.Handle.Is(name) {
				return strings.ToLower(name)
			}
		}
	}
	return ""
}

// HasHandle says whether the document lists the handle at all. A did:web
// account may use any of its document's.
func (d *Document) HasHandle(handle string) bool {
	return slices.ContainsFunc(d.AlsoKnownAs, func(aka string) bool {
		name, ok := strings.CutPrefix(aka, "at://")
		return ok && strings.EqualFold(name, handle)
	})
}

// Key returns the public key with the given fragment ("atproto"); the first one
// counts. Errors: [ErrNoKey], [ErrDocument].
func (d *Document) Key(fragment string) (atcrypto.PublicKey, error) {
	for _, vm := range d.VerificationMethod {
		if d.fragment(vm.ID) != fragment || vm.Controller != d.ID {
			continue
		}
		key, err := vm.publicKey()
		if err != nil {
			return nil, fmt.Errorf("%w: key #%s of %s: %w", ErrDocument, fragment, d.ID, err)
		}
		return key, nil
	}
	return nil, fmt.Errorf("%w: #%s of %s", ErrNoKey, fragment, d.ID)
}

// SigningKey is the account's repository key as did:key.
func (d *Document) SigningKey() (string, error) {
	key, err := d.Key(KeyAtproto)
	if err != nil {
		return "", err
	}
	return key.DIDKey(), nil
}

// The two older types carry the bare point, with or without compression;
// documents of did:web still have them.
func (vm VerificationMethod) publicKey() (atcrypto.PublicKey, error) {
	if vm.Type == "Multikey" {
		return atcrypto.ParsePublicMultibase(vm.PublicKeyMultibase)
	}
	k256 := vm.Type == "EcdsaSecp256k1VerificationKey2019"
	if !k256 && vm.Type != "EcdsaSecp256r1VerificationKey2019" {
		return nil, fmt.Errorf("unsupported type")
	}
	text, ok := strings.CutPrefix(vm.PublicKeyMultibase, "z")
	if !ok {
		return nil, fmt.Errorf("not base58btc")
	}
	point, err := base58.Decode(text)
	if err != nil {
		return nil, fmt.Errorf("not base58btc: %w", err)
	}
	switch compressed := len(point) == 33; {
	case k256 && compressed:
		return asKey(atcrypto.ParsePublicBytesK256(point))
	case k256:
		return asKey(atcrypto.ParsePublicUncompressedBytesK256(point))
	case compressed:
		return asKey(atcrypto.ParsePublicBytesP256(point))
	}
	return asKey(atcrypto.ParsePublicUncompressedBytesP256(point))
}

// asKey keeps a nil pointer from becoming a non-nil interface.
func asKey[K atcrypto.PublicKey](k K, err error) (atcrypto.PublicKey, error) {
	if err != nil {
		return nil, err
	}
	return k, nil
}

// FindService returns the service with the given fragment; wantType may be "".
func (d *Document) FindService(fragment, wantType string) (Service, error) {
	for _, s := range d.Service {
		if d.fragment(s.ID) == fragment && (wantType == "" || s.Type == wantType) {
			return s, nil
		}
	}
	return Service{}, fmt.Errorf("%w: #%s of %s", ErrNoService, fragment, d.ID)
}

// PDS is the URL of the account's host, or "".
func (d *Document) PDS() string {
	s, err := d.FindService(ServicePDS, ServicePDSType)
	if err != nil {
		return ""
	}
	return s.Endpoint
}

var (
	contextBase = []string{"https://www.w3.org/ns/did/v1", "https://w3id.org/security/multikey/v1"}
	contextK256 = "https://w3id.org/security/suites/secp256k1-2019/v1"
	contextP256 = "https://w3id.org/security/suites/ecdsa-2019/v1"
)

// PLCDocument renders the state of a did:plc as its DID document, in the form
// plc.directory uses. Tombstones give [ErrDIDTombstoned]. Keys and services come
// in order of their names.
// spec: did-plc#presentation-as-did-document
func PLCDocument(did string, op didplc.Operation) (*Document, error) {
	state, err := RegularForm(op)
	if err != nil {
		return nil, fmt.Errorf("document of %s: %w", did, err)
	}
	d := &Document{
		Context:            slices.Clone(contextBase),
		ID:                 did,
		AlsoKnownAs:        append([]string{}, state.AlsoKnownAs...),
		VerificationMethod: []VerificationMethod{},
		Service:            []Service{},
	}
	for _, name := range sortedKeys(state.VerificationMethods) {
		key := state.VerificationMethods[name]
		if c := keyContext(key); c != "" && !slices.Contains(d.Context, c) {
			d.Context = append(d.Context, c)
		}
		d.VerificationMethod = append(d.VerificationMethod, VerificationMethod{
			ID: did + "#" + name, Type: "Multikey", Controller: did,
			PublicKeyMultibase: strings.TrimPrefix(key, "did:key:"),
		})
	}
	for _, name := range sortedKeys(state.Services) {
		s := state.Services[name]
		d.Service = append(d.Service, Service{ID: "#" + name, Type: s.Type, Endpoint: s.Endpoint})
	}
	return d, nil
}

// ServiceDocument is the document of a host's own did:web, which strict
// verifiers of service tokens look up.
func ServiceDocument(did, endpoint string) *Document {
	return &Document{
		Context:            slices.Clone(contextBase[:1]),
		ID:                 did,
		AlsoKnownAs:        []string{},
		VerificationMethod: []VerificationMethod{},
		Service:            []Service{{ID: "#" + ServicePDS, Type: ServicePDSType, Endpoint: endpoint}},
	}
}

func keyContext(didKey string) string {
	switch key, _ := atcrypto.ParsePublicDIDKey(didKey); key.(type) {
	case *atcrypto.PublicKeyK256:
		return contextK256
	case *atcrypto.PublicKeyP256:
		return contextP256
	}
	return ""
}
