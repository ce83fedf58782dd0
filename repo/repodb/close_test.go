package repodb

import (
	"errors"
	"fmt"
	"sync"
	"testing"
)

// TestClose: what was on its way is finished, what comes later refused.
func TestClose(t *testing.T) {
	s, schema := testStore(t, Config{})
	aid, _ := newRepo(t, s.db, s.keys, schema)
	var mu sync.Mutex
	done := 0
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for n := 0; ; n++ {
				path := fmt.Sprintf("com.example.a/%d-%d", g, n)
				_, err := s.Write(t.Context(), schema, aid, Options{}, writes(create(path, post(path))))
				if errors.Is(err, ErrClosed) {
					return
				}
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				if done++; done == 20 {
					go s.Close()
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if r, err := s.Check(t.Context(), schema, aid); err != nil || !r.OK() || r.Records != done {
		t.Errorf("%d acknowledged: %+v %v", done, r, err)
	}
}
