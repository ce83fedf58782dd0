package blob

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/auroralocus/locus/internal/blob/store"
	"github.com/ipfs/go-cid"
)

// TestMove moves a tenant's blobs to S3 and back to another disk while they are read, uploaded, referred to and deleted.
func TestMove(t *testing.T) {
	b := newBed(t, "")
	alice := b.account()
	var all [][]byte
	for i := range 40 {
		data := random(1000 + i)
		info := b.upload(alice, data)
		b.mustWrite(alice, "r"+string(rune('a'+i%26))+string(rune('a'+i/26)), record("x", info))
		all = append(all, data)
	}
	left := random(50)
	b.upload(alice, left)
	disk2 := "disk:" + t.TempDir()
	for _, to := range []string{s3Bucket(t), disk2, "data:"} {
		ctx, stop := context.WithCancel(t.Context())
		var busy sync.WaitGroup
		busy.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				b.wantRead(alice, all[i%len(all)])
			}
		})
		busy.Go(func() {
			for ctx.Err() == nil {
				data := random(300)
				info, err := b.blobs.Upload(t.Context(), Upload{Owner: alice, Location: to}, bytes.NewReader(data))
				if err != nil {
					t.Error(err)
					return
				}
				if err := b.write(alice, "busy", record("busy", info)); err != nil {
					t.Error(err)
				}
			}
		})
		// Cut off in the middle, and gone on with by another process.
		first, cut := context.WithCancel(t.Context())
		_, err := b.blobs.Move(first, b.schema, to, func(p Progress) {
			if p.Moved == 10 {
				cut()
			}
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("cut off: %v", err)
		}
		other := b.open("")
		for range 3 {
			if _, err := other.Move(t.Context(), b.schema, to, nil); err != nil {
				t.Fatal(err)
			}
		}
		stop()
		busy.Wait()
		p, err := other.Move(t.Context(), b.schema, to, nil)
		if err != nil || p.Total != 0 {
			t.Errorf("%+v %v", p, err)
		}
		for _, data := range all {
			b.wantRead(alice, data)
		}
		b.ahead.Add(int64(2 * time.Hour)) // grace, and what the cut left
		b.emptyTrash()
		for _, p := range b.blobs.Stores.set.All() {
			if err := p.SweepOld(t.Context(), b.now().Add(-staleUpload)); err != nil {
				t.Fatal(err)
			}
		}
		sum := b.clean()
		if sum.Blobs != sum.Objects {
			t.Errorf("%s: %+v", to, sum)
		}
	}
}

// TestMoveLost: what cannot be read stays, and is told.
func TestMoveLost(t *testing.T) {
	b := newBed(t, "")
	alice := b.account()
	b.upload(alice, random(10))
	b.lose()
	bad := random(20)
	b.upload(alice, bad)
	b.spoil()
	b.upload(alice, random(30))
	p, err := b.blobs.Move(t.Context(), b.schema, "disk:"+t.TempDir(), nil)
	if err != nil || p.Moved != 1 || p.Failed != 2 || !errors.Is(p.FirstFailure, ErrLost) {
		t.Errorf("%+v %v", p, err)
	}
}

// spoil changes a byte of every object on the first disk.
func (b *bed) spoil() {
	b.t.Helper()
	err := filepath.WalkDir(filepath.Join(b.dir, "blobs", b.schema.String()), func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		data[0] ^= 1
		return os.WriteFile(path, data, 0o600)
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

// TestVerify breaks things one by one: each is found, named, and repaired.
func TestVerify(t *testing.T) {
	t.Parallel()
	for name, one := range map[string]struct {
		breakIt func(b *bed, o Owner, kept, temporary Info)
		want    []string
		after   func(b *bed, o Owner, kept, temporary Info)
	}{
		"wrong size": {func(b *bed, _ Owner, _, _ Info) { b.shorten() }, []string{"wrong", "wrong"}, nil},
		"place": {func(b *bed, _ Owner, _, _ Info) { b.exec("UPDATE pds.blob SET takedown_ref = 'x'") }, []string{"place", "place"}, func(b *bed, _ Owner, _, _ Info) {
			if n := b.quarantinedObjects(); n != 2 {
				b.t.Errorf("%d objects in quarantine", n)
			}
			b.exec("UPDATE pds.blob SET takedown_ref = NULL")
			if kinds, _ := b.verify(VerifyOptions{}); len(kinds) != 2 {
				b.t.Error(kinds)
			}
		}},
		"orphan in quarantine": {func(b *bed, o Owner, _, temporary Info) {
			if _, err := b.blobs.SetTakedown(b.t.Context(), b.schema, o.AID, temporary.CID, new("x")); err != nil {
				b.t.Fatal(err)
			}
			b.exec("DELETE FROM pds.blob WHERE temporary")
		}, []string{"count", "orphan"}, nil},
		"nothing": {func(*bed, Owner, Info, Info) {}, nil, nil},
		"lost": {func(b *bed, _ Owner, _, _ Info) { b.lose() }, []string{"lost", "lost"}, func(b *bed, o Owner, kept, _ Info) {
			missing, err := b.blobs.ListMissing(b.t.Context(), b.schema, o.AID, cid.Undef, 10)
			if err != nil || len(missing) != 1 || !missing[0].CID.Equals(kept.CID) {
				b.t.Error(missing, err)
			}
		}},
		"wrong bytes": {func(b *bed, _ Owner, _, _ Info) { b.spoil() }, []string{"wrong", "wrong"}, nil},
		"orphan":      {func(b *bed, o Owner, _, _ Info) { b.exec("DELETE FROM pds.blob WHERE temporary") }, []string{"count", "orphan"}, nil},
		"of nobody": {func(b *bed, o Owner, _, _ Info) {
			to, _, _ := b.blobs.Stores.current(b.t.Context(), b.schema, "")
			in := to.NewSpool()
			_ = in.Fill(bytes.NewReader(random(7)))
			if err := to.Put(b.t.Context(), 0, store.NewObject(b.schema, "did:plc:gone", in.CID), in); err != nil {
				b.t.Fatal(err)
			}
		}, []string{"orphan"}, nil},
		"reference lost": {func(b *bed, _ Owner, _, _ Info) { b.exec("DELETE FROM pds.record_blob") }, []string{"reference", "state"}, nil},
		"reference of nothing": {func(b *bed, o Owner, _, temporary Info) {
			b.exec("INSERT INTO pds.record_blob (aid, cid, path, rev, mime_type) VALUES ($1, $2, 'com.example.file/a', 1, '')", o.AID, temporary.CID.Bytes())
			b.exec("UPDATE pds.blob SET temporary = false")
		}, []string{"reference"}, nil},
		"state":    {func(b *bed, _ Owner, _, _ Info) { b.exec("UPDATE pds.blob SET temporary = NOT temporary") }, []string{"state", "state"}, nil},
		"count":    {func(b *bed, _ Owner, _, _ Info) { b.exec("UPDATE pds.blob_usage SET bytes = bytes + 1") }, []string{"count"}, nil},
		"no count": {func(b *bed, _ Owner, _, _ Info) { b.exec("DELETE FROM pds.blob_usage") }, []string{"count"}, nil},
		"trash": {func(b *bed, _ Owner, _, _ Info) {
			b.exec("INSERT INTO pds.tenant_item (kind, key, number, due_at) SELECT 12, int2send(store) || convert_to(object, 'UTF8'), store, created_at FROM pds.blob WHERE NOT temporary")
		}, []string{"trash"}, func(b *bed, o Owner, kept, _ Info) {
			b.emptyTrash()
			if _, err := b.read(o, kept.CID); err != nil {
				b.t.Error(err)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t, "")
			alice := b.account()
			b.account()
			kept := b.upload(alice, random(1000))
			b.mustWrite(alice, "a", record("a", kept))
			temporary := b.upload(alice, random(2000))
			one.breakIt(b, alice, kept, temporary)
			o := VerifyOptions{Deep: true, Young: time.Nanosecond}
			kinds, sum := b.verify(o)
			slices.Sort(kinds)
			if !slices.Equal(kinds, one.want) || sum.Repaired != 0 {
				t.Errorf("found %v, want %v", kinds, one.want)
			}
			o.Repair = true
			if _, sum := b.verify(o); sum.Repaired != sum.Problems || (sum.Problems == 0) != (len(one.want) == 0) {
				t.Errorf("%+v", sum)
			}
			b.emptyTrash()
			b.clean()
			if one.after != nil {
				one.after(b, alice, kept, temporary)
			}
		})
	}
}

// shorten takes a byte from the end of every object on the first disk.
func (b *bed) shorten() {
	b.t.Helper()
	err := filepath.WalkDir(filepath.Join(b.dir, "blobs", b.schema.String()), func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		return os.Truncate(path, info.Size()-1)
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

// TestVerifyYoung: an upload on its way is no orphan.
func TestVerifyYoung(t *testing.T) {
	b := newBed(t, "")
	alice := b.account()
	b.upload(alice, random(5))
	b.exec("DELETE FROM pds.blob")
	b.exec("DELETE FROM pds.blob_usage")
	kinds, sum := b.verify(VerifyOptions{})
	if len(kinds) != 0 || sum.Young != 1 {
		t.Error(kinds, sum)
	}
	b.ahead.Add(int64(2 * time.Hour))
	if kinds, _ := b.verify(VerifyOptions{}); len(kinds) != 1 {
		t.Error(kinds)
	}
}
