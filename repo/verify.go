package repo

import (
	"errors"
	"fmt"
	"io"

	"github.com/auroralocus/locus/repo/car"
	"github.com/auroralocus/locus/repo/dagcbor"
	"github.com/auroralocus/locus/repo/mst"
	"github.com/bluesky-social/indigo/atproto/atcrypto"
	"github.com/ipfs/go-cid"
)

// Why Verify refuses an archive, beside the errors of car, mst, DecodeCommit, the signature and ParsePath.
var (
	ErrNoRoot         = errors.New("repo: archive names no root")
	ErrIncomplete     = errors.New("repo: archive lacks a block")
	ErrOtherDID       = errors.New("repo: archive is another account's")
	ErrTooManyRecords = errors.New("repo: archive has too many records")
	ErrOutOfOrder     = errors.New("repo: archive is out of order and too large to sort in memory")
)

// ErrRecord says why a record of an archive is none. The archive is valid without it.
var ErrRecord = errors.New("repo: invalid record")

// ImportedRecord is a record of an archive.
type ImportedRecord struct {
	Path  string
	CID   cid.Cid
	Block []byte
	Err   error // ErrRecord: the block is no record; its path stands in the tree all the same
}

// VerifyOptions bound what Verify takes and say where it goes. The zero value has the defaults and collects the
// records.
type VerifyOptions struct {
	Archive    car.Limits
	RecordSize int   // bytes of one record; default 1 MiB, what other hosts allow
	Records    int   // number of records; default 10 million
	Buffer     int64 // bytes of blocks that may come before they are needed; default 1 GiB

	// Record gets each record, in the order of paths, and Node each node of the tree before what is in it, while the
	// archive is being read: only when Verify returns without an error is any of it proven. An error of theirs ends
	// Verify. Without Record the records are in Archive.Records.
	Record func(ImportedRecord) error
	Node   func(mst.Node) error
}

const (
	defaultRecordSize = MaxForeign
	defaultRecords    = 10_000_000
	defaultBuffer     = 1 << 30
)

// Archive is what Verify found.
type Archive struct {
	CID    cid.Cid // of the commit
	Block  []byte  // the commit as it came
	Commit SignedCommit

	Records  []ImportedRecord // in the order of paths, unless VerifyOptions.Record took them
	Count    int              // records, invalid ones too
	Invalid  []ImportedRecord // the ones with Err, without their blocks
	Nodes    int
	Streamed bool // every block came when it was needed
}

// maxInvalid bounds Archive.Invalid.
const maxInvalid = 1000

// Verify reads a whole repository from an archive and checks it: every block against its CID, the commit (the block of
// the first root; more roots are legal and ignored) for its form and its DID, the signature if a key is given, the tree
// for all rules of its form, every node and record for being there, every path for its syntax, every record for being
// canonical DAG-CBOR. A record that is not is refused alone. Blocks may come in any order and more than once; those
// that nothing links are ignored.
//
// Blocks that come in streaming order are not held; of others, memory is what came too early (VerifyOptions.Buffer). An
// empty did takes any account's.
//
// spec: repository#car-file-serialization, sync#repository-exports
func Verify(r io.Reader, did string, key atcrypto.PublicKey, opts VerifyOptions) (*Archive, error) {
	if opts.RecordSize <= 0 {
		opts.RecordSize = defaultRecordSize
	}
	if opts.Records <= 0 {
		opts.Records = defaultRecords
	}
	if opts.Buffer <= 0 {
		opts.Buffer = defaultBuffer
	}
	archive, err := car.NewReader(r, opts.Archive)
	if err != nil {
		return nil, err
	}
	roots := archive.Roots()
	if len(roots) == 0 {
		return nil, ErrNoRoot
	}
	src := newSource(archive, opts.Buffer)
	defer src.close()

	v := verifier{src: src, opts: opts, out: &Archive{CID: roots[0]}}
	if err := v.commit(did, key); err != nil {
		return nil, err
	}
	if err := v.tree(); err != nil {
		return nil, err
	}
	// Nothing links to the blocks that follow, yet the archive must be well-formed to its end.
	if err := src.drain(); err != nil {
		return nil, err
	}
	v.out.Streamed = !src.early
	return v.out, nil
}

type verifier struct {
	src  *source
	opts VerifyOptions
	out  *Archive
}

func (v *verifier) commit(did string, key atcrypto.PublicKey) error {
	out := v.out
	raw, ok := rawCID(out.CID)
	if !ok {
		return fmt.Errorf("root %s: %w", out.CID, ErrIncomplete)
	}
	block, err := v.src.need(raw)
	if err != nil {
		return fmt.Errorf("commit %s: %w", out.CID, err)
	}
	out.Block = block
	if out.Commit, err = DecodeCommit(block); err != nil {
		return fmt.Errorf("commit %s: %w", out.CID, err)
	}
	if did != "" && out.Commit.DID != did {
		return fmt.Errorf("commit %s: %w", out.CID, ErrOtherDID)
	}
	if key != nil {
		if err := out.Commit.Verify(key); err != nil {
			return fmt.Errorf("commit %s: %w", out.CID, err)
		}
	}
	return nil
}

func (v *verifier) tree() error {
	root := v.out.Commit.Data
	if root == mst.EmptyRoot {
		// The walk knows this block by heart; the archive must have it.
		if _, err := v.load(root); err != nil {
			return err
		}
	}
	return mst.Visit(root, v.load, v.node, v.record)
}

func (v *verifier) load(c cid.Cid) ([]byte, error) {
	raw, ok := rawCID(c)
	if !ok {
		return nil, fmt.Errorf("node %s: %w", c, ErrIncomplete)
	}
	block, err := v.src.need(raw)
	if err != nil {
		return nil, fmt.Errorf("node %s: %w", c, err)
	}
	return block, nil
}

func (v *verifier) node(n mst.Node) error {
	v.out.Nodes++
	if v.opts.Node != nil {
		return v.opts.Node(n)
	}
	return nil
}

func (v *verifier) record(path string, c cid.Cid) error {
	out := v.out
	if out.Count >= v.opts.Records {
		return fmt.Errorf("more than %d: %w", v.opts.Records, ErrTooManyRecords)
	}
	out.Count++
	if _, _, err := ParsePath(path); err != nil {
		return err
	}
	raw, ok := rawCID(c)
	if !ok {
		// A link may be of any kind, but no block of another can be in an archive that was read this far.
		return fmt.Errorf("record %s: %s: %w", path, c, ErrIncomplete)
	}
	block, err := v.src.needShared(raw)
	if err != nil {
		return fmt.Errorf("record %s: %w", path, err)
	}
	rec := ImportedRecord{Path: path, CID: c, Block: block}
	if err := checkRecord(raw, block, v.opts.RecordSize); err != nil {
		rec.Err = fmt.Errorf("%w: %s: %w", ErrRecord, path, err)
		if len(out.Invalid) < maxInvalid {
			out.Invalid = append(out.Invalid, ImportedRecord{Path: path, CID: c, Err: rec.Err})
		}
	}
	if v.opts.Record != nil {
		return v.opts.Record(rec)
	}
	out.Records = append(out.Records, rec)
	return nil
}

func checkRecord(raw [dagcbor.CIDLen]byte, block []byte, limit int) error {
	if _, ok := dagcbor.RawDigest(raw[:]); !ok {
		return dagcbor.ErrLink // a raw block
	}
	if len(block) > limit {
		return dagcbor.ErrSize
	}
	return dagcbor.ValidateRecord(block)
}

// rawCID is the binary form of a CID that a block of an archive can have.
func rawCID(c cid.Cid) (raw [dagcbor.CIDLen]byte, ok bool) {
	s := c.KeyString()
	if len(s) != len(raw) {
		return raw, false
	}
	copy(raw[:], s)
	return raw, true
}
