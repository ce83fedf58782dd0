package handlers

import (
	"github.com/auroralocus/locus/repo"
	"github.com/auroralocus/locus/repo/repodb"
)

// What the answers of methods may take in memory, where that is more than a small answer.
const (
	pageBytes     = 1 << 20               // of records in one page: it ends early behind the one that reaches this
	blocksAnswer  = repodb.MaxBlocksBytes // of getBlocks
	rowsAnswer    = 1 << 20               // a full page of rows that are bounded each
	invitesAnswer = 4 << 20               // accounts with the codes they gave away, and codes with who used them
	spoolAnswer   = 1 << 20               // what repodb keeps in memory of an archive for its reader
)

// Limits of the bodies that hold records.
const (
	recordBodyLimit = 1_000_000 // createRecord, applyWrites
	// recordPutLimit is of putRecord: what the largest record that may have moved here takes as JSON, where a byte is six
	// at most ("\u0001", or "null,").
	recordPutLimit = 6*repo.MaxForeign + 64<<10
)
