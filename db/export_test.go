package db

import (
	"unsafe"

	"github.com/auroralocus/locus/db/controldb"
	"github.com/auroralocus/locus/db/tenantdb"
)

// RawTenant is what the generated statements run on: tests use it for SQL that has no generated method.
func RawTenant(q *tenantdb.Queries) tenantdb.DBTX { return *(*tenantdb.DBTX)(unsafe.Pointer(q)) }

// RawControl is the same of the control schema.
func RawControl(q *controldb.Queries) controldb.DBTX { return *(*controldb.DBTX)(unsafe.Pointer(q)) }
