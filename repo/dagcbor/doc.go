// Package dagcbor owns the bytes of the atproto data model: it checks that a block is canonical DAG-CBOR, turns JSON
// into such a block and back, and gives hand-written codecs (tree nodes, commits, firehose frames) the pieces to write
// and read one.
//
// Canonical means DRISL with the narrower rules of atproto: definite lengths, shortest heads, text keys that rise by
// length and then by bytes, integers within 64 signed bits, valid UTF-8, tag 42 and no other tag, no float of any
// width, exactly one item in a block.
//
// No general CBOR library checks these rules (they take non-shortest heads, unsorted keys or floats), so every block
// from outside goes through [Validate] or [ValidateForeign] before anything else looks at it. Bytes that passed are
// kept as they are: a CID is a digest of bytes, not of values.
//
// spec: data-model#data-types, https://dasl.ing/drisl.html
package dagcbor
