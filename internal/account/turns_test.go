package account_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/auroralocus/locus/internal/account"
)

// Hundreds sign in at one tenant: who comes at another, or from another address, is next. Counted in hashes, not in time.
func TestSignInsTakeTurns(t *testing.T) {
	p := account.NewPasswords(account.PasswordConfig{Cost: account.Cost{MemoryKiB: 4 << 10, Passes: 2, Lanes: 1}, Parallel: 1}, time.Now)
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	for range 300 {
		wg.Go(func() {
			for ctx.Err() == nil {
				if _, err := p.Hash(ctx, []string{"a", "203.0.113.1"}, "x"); err != nil {
					time.Sleep(time.Millisecond) // as many wait as may
				}
			}
		})
	}
	for p.Hashes() < 10 {
		time.Sleep(time.Millisecond)
	}
	for _, from := range [][]string{{"b", "203.0.113.1"}, {"a", "203.0.113.2"}} {
		worst := int64(0)
		for range 20 {
			before := p.Hashes()
			if _, err := p.Hash(t.Context(), from, "x"); err != nil {
				t.Fatal(from, err)
			}
			worst = max(worst, p.Hashes()-before)
		}
		// The one that runs, one more in the moment of asking, and the own.
		if worst > 4 {
			t.Errorf("%v waited for %d hashes", from, worst-1)
		}
		t.Logf("%v waited for at most %d hashes of others", from, worst-1)
	}
}
