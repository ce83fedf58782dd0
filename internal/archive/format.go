package archive

import (
	"encoding/json"
	"time"
)

// magic begins every archive; the last byte but one is the format's version.
const magic = "locus archive 1\n"

// The kinds of piece.
const (
	pieceHeader   = 'H'
	pieceTable    = 'T'
	pieceBlob     = 'B'
	pieceData     = 'D'
	pieceEnd      = 'E'
	pieceManifest = 'M'
	pieceDigest   = 'S'
)

const (
	// maxPiece bounds what a reader keeps in memory, whatever a length says.
	maxPiece = 256 << 10
	// maxHeader bounds the header, which has all settings of a tenant.
	maxHeader = 4 << 20
	// maxTables bounds the tables of an archive.
	maxTables = 1000
	// maxColumns is what Postgres allows.
	maxColumns = 1600
)

// BlobMode says what an archive has of a tenant's files.
type BlobMode string

// The ways.
const (
	// BlobsIncluded: the bytes are in the archive.
	BlobsIncluded BlobMode = "include"
	// BlobsReferred: the rows say in which store they are.
	BlobsReferred BlobMode = "reference"
	// BlobsNone: accounts are told that they are missing, as after a move.
	BlobsNone BlobMode = "none"
)

// Header says what an archive is.
type Header struct {
	Program  string    `json:"program"` // version of the program that made it
	Schema   int64     `json:"schema"`  // version of the tenant's schema
	MadeAt   time.Time `json:"madeAt"`
	Tenant   Tenant    `json:"tenant"`
	LastSeq  int64     `json:"lastSeq"`
	Timeline string    `json:"timeline"` // of the server that gave out the last number
	Blobs    BlobMode  `json:"blobs"`
	// Encrypted archives have the keys that open what is sealed in the rows.
	Keys []byte `json:"keys,omitempty"`
	// Rows, Files and Bytes are about how much there is, for showing progress.
	Rows, Files, Bytes int64
}

// Tenant is the tenant's row in the control schema.
type Tenant struct {
	Hostname      string          `json:"hostname"`
	ServiceDID    string          `json:"serviceDid"`
	SchemaName    string          `json:"schemaName"` // secrets are bound to it
	HandleDomains []string        `json:"handleDomains"`
	Settings      json.RawMessage `json:"settings"`
	CreatedAt     time.Time       `json:"createdAt"`
}

// Table is the table whose rows follow.
type Table struct {
	Name    string   `json:"name"`
	Columns []string `json:"columns"`
}

// Blob is the file whose bytes follow.
type Blob struct {
	AID  int64  `json:"aid"`
	CID  string `json:"cid"`
	Size int64  `json:"size"`
}

// end is said behind an item.
type end struct {
	Rows   int64  `json:"rows,omitempty"`
	Bytes  int64  `json:"bytes"`
	SHA256 []byte `json:"sha256"`
	// Missing: the file was not in its store, and nothing of it is here.
	Missing bool `json:"missing,omitempty"`
}

// Manifest sums up an archive.
type Manifest struct {
	Tables  int   `json:"tables"`
	Rows    int64 `json:"rows"`
	Blobs   int64 `json:"blobs"`
	Missing int64 `json:"missing"` // files that were not in their store
	Bytes   int64 `json:"bytes"`   // of rows and files
}
