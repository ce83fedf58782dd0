package blob

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/blob/store"
)

// quarantinedObjects counts what nothing is served from.
func (b *bed) quarantinedObjects() (n int) {
	b.t.Helper()
	for _, p := range b.blobs.Stores.set.All() {
		if err := p.List(b.t.Context(), store.QuarantineFolder+b.schema.String(), func(store.Found) error { n++; return nil }); err != nil {
			b.t.Fatal(err)
		}
	}
	return n
}

func (b *bed) takeDown(o Owner, info Info, ref *string) {
	b.t.Helper()
	if found, err := b.blobs.SetTakedown(b.t.Context(), b.schema, o.AID, info.CID, ref); err != nil || !found {
		b.t.Fatal(found, err)
	}
}

// TestQuarantine: what is taken down is not in the serving part of its store any more, whoever reads that.
func TestQuarantine(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		alice := b.account()
		data, other := random(3000), random(100)
		info, rest := b.upload(alice, data), b.upload(alice, other)
		b.mustWrite(alice, "a", record("a", info, rest))
		link, err := b.blobs.Presigned(t.Context(), b.schema, alice.AID, info.CID)
		if err != nil {
			t.Fatal(err)
		}
		follow := func() int {
			t.Helper()
			res, err := http.Get(link)
			if err != nil {
				t.Fatal(err)
			}
			defer http.DefaultClient.CloseIdleConnections()
			defer res.Body.Close()
			got, err := io.ReadAll(res.Body)
			if err != nil || res.StatusCode == 200 && !bytes.Equal(got, data) {
				t.Errorf("%d bytes, %v", len(got), err)
			}
			return res.StatusCode
		}
		if link != "" && follow() != 200 {
			t.Error("a good link does not work")
		}
		b.takeDown(alice, info, new("bad"))
		if link != "" && follow() != 404 {
			t.Error("a link from before serves what is taken down")
		}
		if b.objects() != 2 || b.quarantinedObjects() != 1 {
			t.Errorf("%d objects, %d of them in quarantine", b.objects(), b.quarantinedObjects())
		}
		b.wantGone(alice, data)
		b.wantRead(alice, other)
		if _, err := b.blobs.Upload(t.Context(), Upload{Owner: alice}, bytes.NewReader(data)); !errors.Is(err, ErrTakendown) {
			t.Errorf("upload: %v", err)
		}
		b.clean()
		// It moves along, and stays in quarantine.
		to := "disk:" + t.TempDir()
		if p, err := b.blobs.Move(t.Context(), b.schema, to, nil); err != nil || p.Moved != 2 {
			t.Fatalf("%+v %v", p, err)
		}
		b.ahead.Add(int64(2 * time.Hour))
		b.emptyTrash()
		if b.objects() != 2 || b.quarantinedObjects() != 1 {
			t.Errorf("%d objects, %d of them in quarantine", b.objects(), b.quarantinedObjects())
		}
		b.clean()
		b.takeDown(alice, info, nil)
		b.wantRead(alice, data)
		if b.objects() != 2 || b.quarantinedObjects() != 0 {
			t.Errorf("%d objects, %d of them in quarantine", b.objects(), b.quarantinedObjects())
		}
		b.clean()
		// Deleted while in quarantine.
		b.takeDown(alice, info, new("bad"))
		b.mustWrite(alice, "a", nil)
		b.takeDown(alice, info, nil)
		b.ahead.Add(int64(25 * time.Hour))
		if err := b.blobs.Expire(t.Context(), b.schema, 24*time.Hour); err != nil {
			t.Fatal(err)
		}
		b.emptyTrash()
		if b.objects() != 0 {
			t.Errorf("%d objects", b.objects())
		}
		b.clean()
	})
}

// TestQuarantineCutOff: a takedown whose process ended after its transaction, and one in the middle of the copy.
func TestQuarantineCutOff(t *testing.T) {
	everywhere(t, func(t *testing.T, b *bed) {
		alice := b.account()
		data := random(3000)
		info := b.upload(alice, data)
		b.mustWrite(alice, "a", record("a", info))
		var old string
		err := b.db.Tenant(b.schema).Tx(t.Context(), func(q *tenantdb.Queries) error {
			row, err := q.GetBlob(t.Context(), tenantdb.GetBlobParams{AID: alice.AID, CID: info.CID.Bytes()})
			if err != nil {
				return err
			}
			old = row.Object
			_, err = SetTakedown(t.Context(), q, b.now(), alice.AID, info.CID, new("x"))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		// Copied, and no more: announced like an upload, or marked.
		to, id, err := b.blobs.Stores.current(t.Context(), b.schema, "")
		if err != nil {
			t.Fatal(err)
		}
		in := to.NewSpool()
		err = in.Fill(bytes.NewReader(data))
		copied := store.NewObjectFor(b.schema, alice.DID, info.CID, true)
		if to.Announced() {
			b.exec("INSERT INTO pds.tenant_item (kind, key, number, due_at) VALUES (12, int2send($1::smallint) || convert_to($2, 'UTF8'), $1::smallint, $3)", id, copied, b.now().Add(announceTime))
		}
		if err == nil {
			err = to.Put(t.Context(), alice.AID, copied, in)
		}
		if err != nil {
			t.Fatal(err)
		}
		if n := b.quarantinedObjects(); n != 1 {
			t.Fatal(n)
		}
		// A move between stores had left the object of before for a while.
		b.exec("INSERT INTO pds.tenant_item (kind, key, number, due_at) VALUES (12, int2send($1::smallint) || convert_to($2, 'UTF8'), $1::smallint, $3)", id, old+"x", b.now().Add(moveGrace/2))
		other := b.open(b.blobs.cfg.Location)
		if n, err := other.quarantine(t.Context(), b.schema); err != nil || n != 1 {
			t.Fatal(n, err)
		}
		if n := b.emptyTrash(); n != 1 {
			t.Errorf("%d deleted, want what was to wait for downloads", n)
		}
		b.ahead.Add(int64(2 * time.Hour))
		b.emptyTrash()
		if err := to.SweepOld(t.Context(), b.now().Add(-staleUpload)); err != nil {
			t.Fatal(err)
		}
		if b.objects() != 1 || b.quarantinedObjects() != 1 {
			t.Errorf("%d objects, %d of them in quarantine", b.objects(), b.quarantinedObjects())
		}
		b.clean()
	})
}

// TestQuarantineStalled: a takedown does not wait for a store that is out, and is finished when it comes back.
func TestQuarantineStalled(t *testing.T) {
	p, location := trouble(t)
	b := newBed(t, location)
	b.stall, b.patience = 300*time.Millisecond, 3*time.Second
	b.blobs = b.open(location)
	alice := b.account()
	data := random(50_000)
	info := b.upload(alice, data)
	b.mustWrite(alice, "a", record("a", info))
	p.set("stall", 0)
	b.takeDown(alice, info, new("x")) // it comes back although the store says nothing
	b.wantGone(alice, data)
	p.set("", 0)
	if n, err := b.blobs.quarantine(t.Context(), b.schema); err != nil || n != 1 {
		t.Fatal(n, err)
	}
	b.ahead.Add(int64(3 * time.Hour))
	b.emptyTrash()
	if b.objects() != 1 || b.quarantinedObjects() != 1 {
		t.Errorf("%d objects, %d of them in quarantine", b.objects(), b.quarantinedObjects())
	}
	b.clean()
}

// TestRemoveTenant deletes all of a tenant's objects, those in quarantine and those in earlier places too.
func TestRemoveTenant(t *testing.T) {
	b := newBed(t, s3Bucket(t))
	alice := b.account()
	var down Info
	for i := range 20 {
		down = b.upload(alice, random(100+i))
	}
	b.takeDown(alice, down, new("x"))
	if _, err := b.blobs.Upload(t.Context(), Upload{Owner: alice, Location: "data:"}, bytes.NewReader(random(9))); err != nil {
		t.Fatal(err)
	}
	ctx, cut := context.WithCancel(t.Context())
	if err := b.blobs.RemoveTenant(ctx, b.schema, func(int64) { cut() }); !errors.Is(err, context.Canceled) {
		t.Errorf("cut off: %v", err)
	}
	if err := b.blobs.RemoveTenant(t.Context(), b.schema, nil); err != nil {
		t.Fatal(err)
	}
	if n := b.objects(); n != 0 {
		t.Errorf("%d objects", n)
	}
}
