package identity

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/bluesky-social/indigo/atproto/atcrypto"
	"github.com/did-method-plc/go-didplc"
	"github.com/go-json-experiment/json"

	"github.com/auroralocus/locus/internal/syntax"
)

// Types of PLC operations.
const (
	opRegular   = "plc_operation"
	opTombstone = "plc_tombstone"
	opLegacy    = "create"
)

// Signer signs with a key this package never sees; *keyring.Signer is one.
type Signer interface {
	Sign(msg []byte) ([]byte, error) // 64 bytes, low s, over SHA-256(msg)
	PublicDIDKey() string
}

// Account is what a hosted account's DID says.
type Account struct {
	RotationKeys []string // did:key, most powerful first: a user's recovery key belongs before the server's
	SigningKey   string   // did:key of the repository's key
	Handle       string
	Endpoint     string // URL of the host, without a path
}

// NewGenesis makes and signs the operation that creates a did:plc, and computes
// the DID. rotation must be one of the account's rotation keys.
// spec: did-plc#did-creation
func NewGenesis(a Account, rotation Signer) (did string, op *didplc.RegularOp, err error) {
	op = &didplc.RegularOp{
		Type:                opRegular,
		RotationKeys:        slices.Clone(a.RotationKeys),
		VerificationMethods: map[string]string{KeyAtproto: a.SigningKey},
		AlsoKnownAs:         []string{"at://" + a.Handle},
		Services:            map[string]didplc.OpService{ServicePDS: {Type: ServicePDSType, Endpoint: a.Endpoint}},
	}
	if !slices.Contains(op.RotationKeys, rotation.PublicDIDKey()) {
		return "", nil, fmt.Errorf("%w: the signing rotation key is not among its rotation keys", ErrOperation)
	}
	if err := sign(op, &op.Sig, rotation); err != nil {
		return "", nil, err
	}
	did, err = op.DID()
	if err != nil {
		return "", nil, fmt.Errorf("%w: %w", ErrOperation, err)
	}
	return did, op, nil
}

// NewUpdate makes and signs the operation that follows last. change edits a
// copy of last's content; legacy operations arrive there in today's form.
// Whether the rotation key may sign is for the directory to say. Tombstones
// cannot be followed: [ErrDIDTombstoned].
// spec: did-plc#did-update
func NewUpdate(last didplc.Operation, rotation Signer, change func(*didplc.RegularOp)) (*didplc.RegularOp, error) {
	op, err := RegularForm(last)
	if err != nil {
		return nil, err
	}
	change(op)
	prev := last.CID().String()
	op.Type, op.Prev, op.Sig = opRegular, &prev, nil
	if op.RotationKeys == nil {
		op.RotationKeys = []string{}
	}
	if op.AlsoKnownAs == nil {
		op.AlsoKnownAs = []string{}
	}
	if op.VerificationMethods == nil {
		op.VerificationMethods = map[string]string{}
	}
	if op.Services == nil {
		op.Services = map[string]didplc.OpService{}
	}
	if err := sign(op, &op.Sig, rotation); err != nil {
		return nil, err
	}
	return op, nil
}

// NewTombstone makes and signs the operation that ends a did:plc.
// spec: did-plc#did-deactivation
func NewTombstone(last didplc.Operation, rotation Signer) (*didplc.TombstoneOp, error) {
	if _, ok := last.(*didplc.TombstoneOp); ok {
		return nil, ErrDIDTombstoned
	}
	op := &didplc.TombstoneOp{Type: opTombstone, Prev: last.CID().String()}
	if err := sign(op, &op.Sig, rotation); err != nil {
		return nil, err
	}
	return op, nil
}

func sign(op didplc.Operation, into **string, s Signer) error {
	unsigned := op.UnsignedCBORBytes()
	if unsigned == nil {
		return fmt.Errorf("%w: cannot be encoded", ErrOperation)
	}
	sig, err := s.Sign(unsigned)
	if err != nil {
		return fmt.Errorf("sign PLC operation: %w", err)
	}
	text := base64.RawURLEncoding.EncodeToString(sig)
	*into = &text
	return nil
}

// SetHandle puts the handle in place of the first at:// name, or in front when
// there is none; other names stay.
func SetHandle(op *didplc.RegularOp, handle string) {
	name := "at://" + handle
	aka := slices.Clone(op.AlsoKnownAs)
	if i := slices.IndexFunc(aka, func(s string) bool { return strings.HasPrefix(s, "at://") }); i >= 0 {
		aka[i] = name
	} else {
		aka = slices.Insert(aka, 0, name)
	}
	// A handle listed further back may have moved to the front; twice is refused by the directory.
	seen := false
	op.AlsoKnownAs = slices.DeleteFunc(aka, func(s string) bool {
		dup := s == name && seen
		seen = seen || s == name
		return dup
	})
}

// RegularForm returns a copy of an operation's content in today's form, legacy
// ones translated. Tombstones have none: [ErrDIDTombstoned].
// spec: did-plc#operation-serialization-signing-and-validation
func RegularForm(op didplc.Operation) (*didplc.RegularOp, error) {
	switch op := op.(type) {
	case *didplc.RegularOp:
		c := *op
		c.RotationKeys = slices.Clone(op.RotationKeys)
		c.AlsoKnownAs = slices.Clone(op.AlsoKnownAs)
		c.VerificationMethods = maps.Clone(op.VerificationMethods)
		c.Services = maps.Clone(op.Services)
		return &c, nil
	case *didplc.LegacyOp:
		handle, endpoint := op.Handle, op.Service
		if !strings.HasPrefix(handle, "at://") {
			handle = "at://" + strings.TrimPrefix(strings.TrimPrefix(handle, "http://"), "https://")
		}
		if !strings.HasPrefix(endpoint, "http://") && !strings.HasPrefix(endpoint, "https://") {
			endpoint = "https://" + endpoint
		}
		return &didplc.RegularOp{
			Type:                opRegular,
			RotationKeys:        op.EquivalentRotationKeys(),
			VerificationMethods: map[string]string{KeyAtproto: op.SigningKey},
			AlsoKnownAs:         []string{handle},
			Services:            map[string]didplc.OpService{ServicePDS: {Type: ServicePDSType, Endpoint: endpoint}},
			Prev:                op.Prev,
			Sig:                 op.Sig,
		}, nil
	case *didplc.TombstoneOp:
		return nil, ErrDIDTombstoned
	}
	return nil, fmt.Errorf("%w: unknown type", ErrOperation)
}

// ParseOperation reads a signed operation from JSON, strictly: every member
// present and of its type, no other members, nothing twice. Signatures and
// limits are the directory's to check.
// Errors: [ErrOperation].
func ParseOperation(b []byte) (didplc.Operation, error) {
	op, err := parseOperation(b)
	if err == nil && !op.IsSigned() {
		return nil, fmt.Errorf("%w: it is not signed", ErrOperation)
	}
	return op, err
}

func parseOperation(b []byte) (didplc.Operation, error) {
	var head struct {
		Type string `json:"type"`
	}
	if err := json.Unmarshal(b, &head); err != nil {
		return nil, fmt.Errorf("%w: not a JSON object with a type", ErrOperation)
	}
	switch head.Type {
	case opRegular:
		var in struct {
			Type                string                        `json:"type"`
			RotationKeys        []string                      `json:"rotationKeys"`
			VerificationMethods map[string]string             `json:"verificationMethods"`
			AlsoKnownAs         []string                      `json:"alsoKnownAs"`
			Services            map[string]map[string]*string `json:"services"`
			Prev                *string                       `json:"prev"`
			Sig                 *string                       `json:"sig"`
		}
		if err := strictObject(b, &in, 7, "prev"); err != nil {
			return nil, err
		}
		services := make(map[string]didplc.OpService, len(in.Services))
		for name, s := range in.Services {
			if len(s) != 2 || s["type"] == nil || s["endpoint"] == nil {
				return nil, fmt.Errorf("%w: a service has a type and an endpoint", ErrOperation)
			}
			services[name] = didplc.OpService{Type: *s["type"], Endpoint: *s["endpoint"]}
		}
		return &didplc.RegularOp{
			Type: in.Type, RotationKeys: in.RotationKeys, VerificationMethods: in.VerificationMethods,
			AlsoKnownAs: in.AlsoKnownAs, Services: services, Prev: in.Prev, Sig: in.Sig,
		}, nil
	case opTombstone:
		var in struct {
			Type string  `json:"type"`
			Prev string  `json:"prev"`
			Sig  *string `json:"sig"`
		}
		if err := strictObject(b, &in, 3, ""); err != nil {
			return nil, err
		}
		return &didplc.TombstoneOp{Type: in.Type, Prev: in.Prev, Sig: in.Sig}, nil
	case opLegacy:
		var in struct {
			Type        string  `json:"type"`
			SigningKey  string  `json:"signingKey"`
			RecoveryKey string  `json:"recoveryKey"`
			Handle      string  `json:"handle"`
			Service     string  `json:"service"`
			Prev        *string `json:"prev"`
			Sig         *string `json:"sig"`
		}
		if err := strictObject(b, &in, 7, "prev"); err != nil {
			return nil, err
		}
		return &didplc.LegacyOp{
			Type: in.Type, SigningKey: in.SigningKey, RecoveryKey: in.RecoveryKey,
			Handle: in.Handle, Service: in.Service, Prev: in.Prev, Sig: in.Sig,
		}, nil
	}
	return nil, fmt.Errorf("%w: unknown type", ErrOperation)
}

// strictObject decodes b into a struct of n members, all of which must be there
// and only nullable of which may be null (inside lists and maps nothing may).
func strictObject(b []byte, into any, n int, nullable string) error {
	if err := json.Unmarshal(b, into, json.RejectUnknownMembers(true)); err != nil {
		return fmt.Errorf("%w: a member is unknown, repeated or of the wrong type", ErrOperation)
	}
	var members map[string]any
	if err := json.Unmarshal(b, &members); err != nil {
		return fmt.Errorf("%w: not an object", ErrOperation)
	}
	if len(members) != n {
		return fmt.Errorf("%w: a member is missing", ErrOperation)
	}
	for name, v := range members {
		if v == nil && name == nullable {
			continue
		}
		if hasNull(v) {
			return fmt.Errorf("%w: %s must not be null", ErrOperation, name)
		}
	}
	return nil
}

func hasNull(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case []any:
		return slices.ContainsFunc(v, hasNull)
	case map[string]any:
		for _, e := range v {
			if hasNull(e) {
				return true
			}
		}
	}
	return false
}

// MarshalOperation writes an operation as the JSON that is sent to a directory.
func MarshalOperation(op didplc.Operation) ([]byte, error) {
	b, err := json.Marshal(op)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrOperation, err)
	}
	return bytes.TrimSpace(b), nil
}

// SignedBy returns the index of the first of the keys (did:key) that made the
// operation's signature. Keys of unknown kinds are passed over. It refuses, with
// [ErrOperation], high s, DER, padding and everything else that would let a
// second signature be made from the first.
// spec: did-plc#operation-serialization-signing-and-validation
func SignedBy(op didplc.Operation, keys []string) (int, error) {
	if !op.IsSigned() {
		return -1, fmt.Errorf("%w: it is not signed", ErrOperation)
	}
	for i, key := range keys {
		pub, err := atcrypto.ParsePublicDIDKey(key)
		if err != nil {
			continue
		}
		if op.VerifySignature(pub) == nil {
			return i, nil
		}
	}
	return -1, fmt.Errorf("%w: invalid signature", ErrOperation)
}

// CheckPLC says whether did has the form of a did:plc: 24 characters of base32.
// spec: did-plc#identifier-syntax
func CheckPLC(did string) error {
	id, ok := strings.CutPrefix(did, "did:plc:")
	if !ok || len(id) != 24 || strings.Trim(id, "abcdefghijklmnopqrstuvwxyz234567") != "" {
		return fmt.Errorf("%w: not a did:plc", ErrDIDSyntax)
	}
	return nil
}

// ParseDID checks the syntax of any DID.
// spec: did#did-identifier-syntax
func ParseDID(did string) error {
	if !syntax.DID.Is(did) {
		return ErrDIDSyntax
	}
	return nil
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
