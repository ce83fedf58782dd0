package blob

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/auroralocus/locus/internal/blob/store"
)

// objectOf is the file of a blob on the first disk.
func (b *bed) objectOf(o Owner, i Info) string {
	b.t.Helper()
	var found string
	err := filepath.WalkDir(b.dir, func(path string, e fs.DirEntry, err error) error {
		if c, ok := store.CIDOf(filepath.ToSlash(path)); err == nil && !e.IsDir() && ok && c.Equals(i.CID) {
			found = path
		}
		return err
	})
	if err != nil || found == "" {
		b.t.Fatalf("object of %s: %v", i.CID, err)
	}
	return found
}

// TestVerifyUnreadable: what cannot be read is told, keeps its row and its references, and hides nothing behind it.
func TestVerifyUnreadable(t *testing.T) {
	b := newBed(t, "")
	alice := b.account()
	var infos []Info
	for i := range 4 {
		infos = append(infos, b.upload(alice, random(1000+i)))
		b.mustWrite(alice, string(rune('a'+i)), record("r", infos[i]))
	}
	// A loop of links is what a disk answers with an error that is not "there is none".
	file := b.objectOf(alice, infos[0])
	kept, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Base(file), file); err != nil {
		t.Fatal(err)
	}
	b.exec("UPDATE pds.record SET value = value || 'x'::bytea WHERE path = 'com.example.file/b'")
	if err := os.Remove(b.objectOf(alice, infos[3])); err != nil {
		t.Fatal(err)
	}
	for _, repair := range []bool{false, true} {
		kinds, sum := b.verify(VerifyOptions{Deep: true, Repair: repair})
		slices.Sort(kinds)
		if !slices.Equal(kinds, []string{"lost", "record", "unreadable"}) || repair && sum.Repaired != 1 {
			t.Errorf("%v %+v", kinds, sum)
		}
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, kept, 0o600); err != nil {
		t.Fatal(err)
	}
	b.exec("UPDATE pds.record SET value = substring(value FOR length(value) - 1) WHERE path = 'com.example.file/b'")
	b.wantRead(alice, kept)
	if kinds, _ := b.verify(VerifyOptions{Deep: true}); len(kinds) != 0 {
		t.Error(kinds)
	}
}

// TestVerifyStoreOut: a store that is out is no problem of every file in it.
func TestVerifyStoreOut(t *testing.T) {
	b := newBed(t, "")
	alice := b.account()
	for i := range 2 * maxUnreadable {
		info := b.upload(alice, random(100+i))
		file := b.objectOf(alice, info)
		if err := errors.Join(os.Remove(file), os.Symlink(filepath.Base(file), file)); err != nil {
			t.Fatal(err)
		}
	}
	told := 0
	_, err := b.blobs.Verify(context.WithoutCancel(t.Context()), b.schema, VerifyOptions{Repair: true}, func(Problem) error { told++; return nil })
	if !errors.Is(err, ErrStore) || told != maxUnreadable {
		t.Errorf("%v after %d", err, told)
	}
	if n := b.count("SELECT count(*) FROM pds.blob"); n != 2*maxUnreadable {
		t.Errorf("%d rows", n)
	}
}

// TestVerifyLostTakendown: the bytes of what was taken down are lost, and that it was is not forgotten with them.
func TestVerifyLostTakendown(t *testing.T) {
	b := newBed(t, "")
	alice := b.account()
	data := random(500)
	info := b.upload(alice, data)
	b.mustWrite(alice, "a", record("a", info))
	if found, err := b.blobs.SetTakedown(t.Context(), b.schema, alice.AID, info.CID, new("bad")); err != nil || !found {
		t.Fatal(found, err)
	}
	if err := os.Remove(b.objectOf(alice, info)); err != nil {
		t.Fatal(err)
	}
	if kinds, sum := b.verify(VerifyOptions{Repair: true}); !slices.Equal(kinds, []string{"lost"}) || sum.Repaired != 0 {
		t.Errorf("%v %+v", kinds, sum)
	}
	if _, err := b.blobs.Upload(t.Context(), Upload{Owner: alice}, bytes.NewReader(data)); !errors.Is(err, ErrTakendown) {
		t.Errorf("uploaded again: %v", err)
	}
	// Restored, it can be uploaded again, and is whole.
	if _, err := b.blobs.SetTakedown(t.Context(), b.schema, alice.AID, info.CID, nil); err != nil {
		t.Fatal(err)
	}
	b.upload(alice, data)
	b.wantRead(alice, data)
	b.emptyTrash()
	b.clean()
}
