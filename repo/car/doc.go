// Package car reads and writes content-addressable archives, version 1, as repositories travel in them: a header that
// names the roots, then sections of one CID and the block it names.
//
// The reader is strict where most are not: the header is canonical DAG-CBOR with exactly its two fields, varints have
// their shortest form, a section is never empty, and every block's bytes match its CID. Nothing is allocated for a
// length before that length was compared with its limit.
//
// spec: https://ipld.io/specs/transport/car/carv1/, repository#car-file-serialization
package car
