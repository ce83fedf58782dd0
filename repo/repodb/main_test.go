package repodb

import (
	"testing"

	"go.uber.org/goleak"
)

// The process that keeps the tests' Postgres is waited for in the background.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/auroralocus/locus/db/dbtest.startKeeper.func1"))
}
