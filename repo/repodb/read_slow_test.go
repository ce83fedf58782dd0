package repodb

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/auroralocus/locus/internal/fair"
	"github.com/auroralocus/locus/repo"
)

// slowWriter takes little at a time.
type slowWriter struct {
	bytes.Buffer
	wait time.Duration
}

func (w *slowWriter) Write(p []byte) (int, error) {
	time.Sleep(w.wait)
	return w.Buffer.Write(p)
}

type brokenWriter struct{ left int }

func (w *brokenWriter) Write(p []byte) (int, error) {
	if w.left -= len(p); w.left < 0 {
		return 0, io.ErrClosedPipe
	}
	return len(p), nil
}

// TestSlowReaders: an export to a slow reader frees its connection long before the reader has everything, whether
// memory is enough or not, and one that goes away ends the export.
func TestSlowReaders(t *testing.T) {
	s, schema := testStore(t, Config{SpoolDir: t.TempDir()})
	aid, did := newRepo(t, s.db, s.keys, schema)
	big := make([]byte, 0, 60_000)
	for i := range 200 { // 12 MB
		big = append(big[:0], post(strings.Repeat(fmt.Sprint(i%10), 59_000))...)
		mustWrite(t, s, schema, aid, create(fmt.Sprintf("com.example.a/%d", i), bytes.Clone(big)))
	}
	for _, limit := range []int64{1 << 20, 100 << 20} { // with and without waiting for room
		s.cfg.SpoolBytes = limit
		w := &slowWriter{wait: 2 * time.Millisecond}
		if err := s.Export(t.Context(), nil, schema, aid, 0, w); err != nil {
			t.Fatal(err)
		}
		if a, err := repo.Verify(&w.Buffer, did, nil, repo.VerifyOptions{}); err != nil || a.Count != 200 || !a.Streamed {
			t.Error(a, err)
		}
		for _, n := range []int{0, 1 << 20, 5 << 20} {
			if err := s.Export(t.Context(), nil, schema, aid, 0, &brokenWriter{n}); !errors.Is(err, io.ErrClosedPipe) {
				t.Error(err)
			}
		}
	}
	// Readers who take nothing hold no connection: one of as many as there are gets the next repository.
	s.cfg.SpoolBytes = 100 << 20
	s.reading = fair.NewPlaces(2, fair.Waiting{Time: time.Minute, First: 100, Whole: 100})
	hold := make(chan struct{})
	ends := make(chan error, 8)
	for range cap(ends) {
		go func() { ends <- s.Export(t.Context(), fair.Path{"a", "x"}, schema, aid, 0, waitWriter{hold}) }()
	}
	var took []time.Duration
	for range 3 {
		began := time.Now()
		if err := s.Export(t.Context(), fair.Path{"a", "x"}, schema, aid, 0, io.Discard); err != nil {
			t.Error(err)
		}
		took = append(took, time.Since(began))
	}
	t.Logf("behind %d readers who take nothing: %v", cap(ends), took)
	// There are only so many spools, and the last is not for one tenant.
	s.spools = fair.NewPlaces(2, fair.Waiting{})
	one := s.spools.Try("a", "x")
	if err := s.Export(t.Context(), fair.Path{"a", "x"}, schema, aid, 0, io.Discard); !errors.Is(err, ErrExportsBusy) {
		t.Error(err)
	}
	if err := s.Export(t.Context(), fair.Path{"b", "x"}, schema, aid, 0, io.Discard); err != nil {
		t.Error(err)
	}
	one.Release()
	// Nor the disk.
	s.disk = fair.NewBytes(2 * diskStep)
	filled := s.disk.Try(diskStep, "a")
	if err := s.Export(t.Context(), fair.Path{"a", "x"}, schema, aid, 0, &slowWriter{wait: time.Millisecond}); !errors.Is(err, ErrExportsBusy) {
		t.Error(err)
	}
	filled.Release()
	close(hold)
	for range cap(ends) {
		if err := <-ends; err != nil {
			t.Error(err)
		}
	}
	if s.reading.Used() != 0 || s.spools.Used() != 0 || s.disk.Used() != 0 {
		t.Error(s.reading.Used(), s.spools.Used(), s.disk.Used())
	}
	if err := s.Export(t.Context(), nil, schema, 99, 0, io.Discard); !errors.Is(err, ErrRepoNotFound) {
		t.Error(err)
	}
}

type waitWriter struct{ until chan struct{} }

func (w waitWriter) Write(p []byte) (int, error) {
	<-w.until
	return len(p), nil
}

// TestImportsDoNotHoldEachOther: who has announced an archive and sends nothing holds no place of the few that check
// one.
func TestImportsDoNotHoldEachOther(t *testing.T) {
	s, schema := testStore(t, Config{SpoolDir: t.TempDir()})
	aid, did := newRepo(t, s.db, s.keys, schema)
	var archive bytes.Buffer
	if err := s.Export(t.Context(), nil, schema, aid, 0, &archive); err != nil {
		t.Fatal(err)
	}
	quiet, stop := io.Pipe()
	ends := make(chan error, 20)
	for range cap(ends) {
		go func() { ends <- s.Import(t.Context(), fair.Path{"a", "x"}, schema, aid, did, Quota{}, quiet) }()
	}
	for s.spools.Used() < int64(cap(ends)) {
		time.Sleep(time.Millisecond)
	}
	for _, from := range []fair.Path{{"a", "x"}, {"a", "y"}, {"b", "x"}} {
		if err := s.Import(t.Context(), from, schema, aid, did, Quota{}, bytes.NewReader(archive.Bytes())); err != nil {
			t.Errorf("%v: %v", from, err)
		}
	}
	_ = stop.CloseWithError(io.ErrUnexpectedEOF)
	for range cap(ends) {
		if err := <-ends; !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Error(err)
		}
	}
	if s.spools.Used() != 0 || s.disk.Used() != 0 || s.importing.Used() != 0 {
		t.Error(s.spools.Used(), s.disk.Used(), s.importing.Used())
	}
}
