package blob

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/auroralocus/locus/repo/repodb"
)

// TestRaces has everything that makes and ends blobs happen at once, in two processes, to a few blobs that all records
// share: uploads, references that come, move and go, expiry without delay, the trash, takedowns, and a move between
// stores to and fro. Whoever's record was acknowledged can read what it refers to, and in the end nothing is wrong.
func TestRaces(t *testing.T) {
	t.Parallel()
	for name, other := range map[string]func(testing.TB) string{
		"disk": func(t testing.TB) string { return "disk:" + t.TempDir() },
		"S3":   s3Bucket,
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t, "")
			alice := b.account()
			places := []string{"data:", other(t)}
			stores := []*Blobs{b.blobs, b.open("")}
			data := make([][]byte, 6) // the last two are taken down now and then
			for i := range data {
				data[i] = random(100 + 70_000*(i%2) + i)
			}
			ctx, stop := context.WithTimeout(context.WithoutCancel(t.Context()), 2*time.Minute)
			defer stop()
			var mu sync.Mutex
			place, written := 0, 0
			began := time.Now()
			enough := func() bool { // four seconds, or more where the machine is slow
				mu.Lock()
				defer mu.Unlock()
				return written >= 20 && time.Since(began) > 4*time.Second
			}
			var all sync.WaitGroup
			again := func(do func(n int) error) {
				all.Go(func() {
					for n := 0; ctx.Err() == nil && !enough(); n++ {
						if err := do(n); err != nil {
							t.Error(err)
							stop()
						}
					}
				})
			}
			for w := range 6 {
				again(func(n int) error {
					s := stores[rand.IntN(2)]
					var infos []Info
					var refs [][]byte
					for range rand.IntN(3) {
						d := data[rand.IntN(len(data))]
						mu.Lock()
						to := places[place]
						mu.Unlock()
						info, err := s.Upload(t.Context(), Upload{Owner: alice, Location: to}, bytes.NewReader(d))
						if errors.Is(err, ErrTakendown) || errors.Is(err, ErrStoreTimeout) { // always deleted before it was noted
							continue
						}
						if err != nil {
							return fmt.Errorf("upload: %w", err)
						}
						infos, refs = append(infos, info), append(refs, d)
					}
					err := b.write(alice, fmt.Sprint("w", w), record(fmt.Sprint(n), infos...))
					if errors.Is(err, repodb.ErrBlobNotFound) { // expired, deleted or taken down since it was uploaded
						return nil
					}
					if err != nil {
						return fmt.Errorf("write: %w", err)
					}
					for i, d := range refs {
						if bytes.Equal(d, data[4]) || bytes.Equal(d, data[5]) {
							continue
						}
						if got, err := b.read(alice, infos[i].CID); err != nil || !bytes.Equal(got, d) {
							return fmt.Errorf("read what a record refers to: %d bytes of %d, %w", len(got), len(d), err)
						}
					}
					mu.Lock()
					written++
					mu.Unlock()
					if n%3 == 0 {
						return b.write(alice, fmt.Sprint("w", w), nil)
					}
					return nil
				})
			}
			again(func(n int) error { time.Sleep(time.Millisecond); return stores[n%2].Expire(t.Context(), b.schema, 0) })
			again(func(n int) error {
				time.Sleep(time.Millisecond)
				_, err := stores[n%2].EmptyTrash(t.Context(), b.schema)
				return err
			})
			again(func(n int) error {
				ref := new("bad")
				if n%2 == 1 {
					ref = nil
				}
				_, err := stores[n/2%2].SetTakedown(t.Context(), b.schema, alice.AID, infoOf(data[4+n/4%2]).CID, ref)
				time.Sleep(5 * time.Millisecond)
				return err
			})
			again(func(n int) error {
				mu.Lock()
				place = (n + 1) % 2
				mu.Unlock()
				p, err := stores[n%2].Move(t.Context(), b.schema, places[(n+1)%2], nil)
				if err == nil && p.Failed > 0 {
					err = p.FirstFailure
				}
				return err
			})
			all.Wait()
			if written < 20 {
				t.Errorf("only %d records were written", written)
			}
			t.Logf("%d records", written)
			for _, d := range data[4:] {
				if _, err := b.blobs.SetTakedown(t.Context(), b.schema, alice.AID, infoOf(d).CID, nil); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := b.blobs.quarantine(t.Context(), b.schema); err != nil {
				t.Fatal(err)
			}
			b.ahead.Add(int64(3 * time.Hour))
			b.emptyTrash()
			for _, p := range b.blobs.Stores.set.All() {
				if err := p.SweepOld(t.Context(), b.now().Add(-staleUpload)); err != nil {
					t.Fatal(err)
				}
			}
			if sum := b.clean(); sum.Blobs != sum.Objects {
				t.Errorf("%+v", sum)
			}
		})
	}
}
