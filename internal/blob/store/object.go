package store

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/ipfs/go-cid"

	"github.com/auroralocus/locus/db"
)

// NewObject names an object that does not exist yet: <schema>/<shard>/<DID>/<CID>.<random>.
func NewObject(schema db.Schema, did string, c cid.Cid) string {
	sum := sha256.Sum256([]byte(did))
	return schema.String() + "/" + hex.EncodeToString(sum[:1]) + "/" + FolderOf(did) + "/" + c.String() + "." + strings.ToLower(rand.Text()[:10])
}

// QuarantineFolder is where the objects of blobs that are taken down are, beside those that may be served: whoever gives
// a bucket or a folder to the public leaves it out.
const QuarantineFolder = "quarantine/"

// NewObjectFor names an object that does not exist yet, of a blob that is taken down or not.
func NewObjectFor(schema db.Schema, did string, c cid.Cid, takendown bool) string {
	if takendown {
		return QuarantineFolder + NewObject(schema, did, c)
	}
	return NewObject(schema, did, c)
}

// Quarantined says whether an object is where nothing is served from.
func Quarantined(object string) bool { return strings.HasPrefix(object, QuarantineFolder) }

// FolderOf is a DID as the name of a folder: itself, but for long ones and those with unusual characters.
func FolderOf(did string) string {
	ok := len(did) <= 90
	for i := 0; ok && i < len(did); i++ {
		c := did[i]
		ok = 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("._:-%", c) >= 0
	}
	if ok {
		return did
	}
	sum := sha256.Sum256([]byte(did))
	return "sha256-" + hex.EncodeToString(sum[:])
}

// CIDOf reads the CID back from an object's name.
func CIDOf(object string) (cid.Cid, bool) {
	name := object[strings.LastIndexByte(object, '/')+1:]
	text, _, ok := strings.Cut(name, ".")
	if !ok {
		return cid.Undef, false
	}
	c, err := cid.Decode(text)
	return c, err == nil
}

// SchemaOf reads the tenant's schema back from an object's name.
func SchemaOf(object string) (db.Schema, bool) {
	text, _, ok := strings.Cut(strings.TrimPrefix(object, QuarantineFolder), "/")
	if !ok {
		return db.Schema{}, false
	}
	s, err := db.ParseSchema(text)
	return s, err == nil
}

// isObject says whether this is a name of an object at all: others may use a bucket too.
func isObject(name string) bool {
	_, ok1 := SchemaOf(name)
	_, ok2 := CIDOf(name)
	return ok1 && ok2
}

// rawCID is the CID of bytes whose SHA-256 is sum.
// spec: data-model#blob-type
func rawCID(sum []byte) cid.Cid {
	c, err := cid.Cast(append([]byte("\x01\x55\x12\x20"), sum...))
	if err != nil {
		panic("store: a well-formed CID was refused: " + err.Error())
	}
	return c
}
