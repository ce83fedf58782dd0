package dagcbor

import (
	"fmt"

	"github.com/fxamacker/cbor/v2"
	"github.com/ipfs/go-cid"
)

// A Link is a CID in a struct that goes through [Marshal] and [Unmarshal]; an undefined one is null.
type Link struct{ cid.Cid }

// MarshalCBOR implements cbor.Marshaler.
func (l Link) MarshalCBOR() ([]byte, error) { return AppendLink(nil, l.Cid), nil }

// UnmarshalCBOR implements cbor.Unmarshaler.
func (l *Link) UnmarshalCBOR(b []byte) error {
	r := NewReader(b)
	if r.Null() {
		l.Cid = cid.Undef
		return r.Done()
	}
	c, err := r.Link()
	if err != nil {
		return err
	}
	l.Cid = c
	return r.Done()
}

var encMode = func() cbor.EncMode {
	m, err := cbor.EncOptions{
		Sort:          cbor.SortLengthFirst,
		NilContainers: cbor.NilContainerAsEmpty, // null is another value than []
		IndefLength:   cbor.IndefLengthForbidden,
		TagsMd:        cbor.TagsAllowed,
		BigIntConvert: cbor.BigIntConvertReject,
	}.EncMode()
	if err != nil {
		panic(err)
	}
	return m
}()

var decMode = func() cbor.DecMode {
	m, err := cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		IndefLength:       cbor.IndefLengthForbidden,
		MaxNestedLevels:   MaxDepth + 1,
		MaxArrayElements:  MaxElements,
		MaxMapPairs:       MaxElements,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
		IntDec:            cbor.IntDecConvertSignedOrFail,
		FieldNameMatching: cbor.FieldNameMatchingCaseSensitive,
	}.DecMode()
	if err != nil {
		panic(err)
	}
	return m
}()

// Marshal encodes a struct whose fields carry cbor tags. It is for what is not hot; tree nodes, commits and frames have
// codecs of their own. The result is checked: a float or a foreign tag in v is an error here and not at a reader.
func Marshal(v any) ([]byte, error) {
	b, err := encMode.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("dagcbor: encode: %w", err)
	}
	if err := validate(b, true); err != nil {
		return nil, err
	}
	return b, nil
}

// Unmarshal decodes a block into a struct whose fields carry cbor tags, after the strict scan. A field that the struct
// does not have is an error.
func Unmarshal(b []byte, v any) error {
	if err := validate(b, true); err != nil {
		return err
	}
	if err := decMode.Unmarshal(b, v); err != nil {
		return fmt.Errorf("dagcbor: decode: %w", err)
	}
	return nil
}
