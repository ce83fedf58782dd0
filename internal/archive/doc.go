// Package archive keeps one tenant in one file, and makes a tenant of such a file.
//
// # The file
//
// An archive is a stream of pieces. Each is a byte that says what it is, the length of what follows (four bytes, high byte
// first, at most [maxPiece]), and that. The pieces are, in this order:
//
//	header    JSON: see Header
//	table     JSON: the name and the columns of a table. Its rows follow as data, in the binary format of Postgres's COPY
//	blob      JSON: whose file it is, and its digest. Its bytes follow as data
//	data      up to 256 KiB of the item before it
//	end       JSON: how many rows, bytes, and the SHA-256 of the item
//	manifest  JSON: how many tables, rows, files and bytes there were
//	digest    SHA-256 of everything before this piece
//
// The file ends behind the digest. So whoever reads one to its end knows that nothing is missing and nothing was changed,
// and [Verify] does just that before a byte of it reaches a database.
//
// Tables come as they are in the schema, those that others refer to first. They carry their columns' names, and the header
// says which migrations the schema had had: rows are loaded into a schema with just these, which is then migrated.
//
// # Encryption
//
// The whole stream may be encrypted by age, for recipients or a passphrase. What is sealed under the master key stays
// sealed in the rows. An encrypted archive also carries the keys that open them, those of the tenant alone, so that it can
// be restored where another master key is. One that is not encrypted carries none: whoever finds it cannot sign in
// anybody's name, and it can be restored only where the master key is the same.
package archive

import "errors"

var (
	// ErrDamaged refuses an archive that was cut off or changed.
	ErrDamaged = errors.New("the archive is damaged")
	// ErrNotArchive refuses a file that is no archive.
	ErrNotArchive = errors.New("not an archive of a tenant")
	// ErrTooNew refuses an archive that a newer program made.
	ErrTooNew = errors.New("the archive was made by a newer program")
	// ErrEncrypted means that the archive is encrypted, and nothing was given that opens it.
	ErrEncrypted = errors.New("the archive is encrypted")
	// ErrWrongKey means that the archive is encrypted for somebody else.
	ErrWrongKey = errors.New("the archive does not open with this")
	// ErrSealed means that the secrets in the archive are sealed under a master key that this deployment does not have.
	ErrSealed = errors.New("the archive's secrets are sealed under another deployment's master key")
)
