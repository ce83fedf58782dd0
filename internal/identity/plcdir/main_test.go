package plcdir

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	// The tests' Postgres outlives the process that started it, on purpose.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/auroralocus/locus/db/dbtest.startKeeper.func1"))
}
