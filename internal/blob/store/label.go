package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/auroralocus/locus/db"
)

// A store carries a label whose id the database knows (control.blob_place): an object beside the files. A name alone
// tells nothing: data: is another folder on another machine, the folder of a disk that is not mounted is an empty one,
// and who takes what is not there for lost deletes rows of files that exist. So nothing is read from a store, put into it,
// deleted from it or called lost unless it carries its label.
//
// The label is made when a store is first used. It is offered first (a name that does not count), then the database
// takes the first that comes, then it counts: a crash in between leaves an offer that the database knows, in the store
// that it is of.

// labels is what a disk and a bucket do with labels.
type labels interface {
	// near says whether looking for the label costs nothing, so that it is done with every use.
	near() bool
	// hasLabel looks for a label; [ErrMissing].
	hasLabel(ctx context.Context, id string) error
	// offerLabel leaves one that does not count yet, fixLabel makes it count ([ErrMissing]: nobody offered it here), and
	// dropLabel takes the offer back.
	offerLabel(ctx context.Context, id string) error
	fixLabel(ctx context.Context, id string) error
	dropLabel(ctx context.Context, id string)
	// Labels lists the ids of those that count, if strangers' are to be refused.
	Labels(ctx context.Context) ([]string, error)
	// prepare makes what uploads need in a store that was found to be the one.
	prepare(id string) error
}

// LabelPrefix begins the names of labels, beside the tenants' folders; an offered one ends in labelOffer.
const (
	LabelPrefix = ".locus-place-"
	labelOffer  = ".new"
)

const (
	// labelTrust is how long a process goes by what the database said a store's label is.
	labelTrust = 10 * time.Second
	// labelAgain is how long it is not asked again, nor the store looked at, after the label was not found.
	labelAgain = time.Second
)

// labelText is what a label's object says to those who find it.
const labelText = "This tells an Aurora Locus server that this is its store for files. Do not delete it, and do not copy it to another store.\n"

// labelled is what a process knows of a store's label.
type labelled struct {
	known atomic.Pointer[knownLabel]

	mu     sync.Mutex
	away   bool // that it is not there was said
	looked time.Time
	err    error // what came of it
}

type knownLabel struct {
	id    string
	until time.Time
}

// Present says whether a folder is the one that the database knows; [ErrAway]. A bucket is taken for it: see near.
func (s *Store) Present(ctx context.Context) error {
	if !s.near() || s.recent(ctx) {
		return nil
	}
	return s.look(ctx)
}

// recent says whether the label that the database lately had is there.
func (s *Store) recent(ctx context.Context) bool {
	k := s.label.known.Load()
	return k != nil && time.Now().Before(k.until) && s.hasLabel(ctx, k.id) == nil
}

// Forget has the database asked for the label again.
func (s *Store) Forget() {
	s.label.known.Store(nil)
	s.label.mu.Lock()
	s.label.looked = time.Time{}
	s.label.mu.Unlock()
}

// look asks the database for the label and looks for it, and says when that came out otherwise than before.
func (s *Store) look(ctx context.Context) error {
	l := &s.label
	l.mu.Lock()
	defer l.mu.Unlock()
	if time.Since(l.looked) < labelAgain {
		return l.err
	}
	if s.recent(ctx) { // somebody looked meanwhile
		return nil
	}
	id, err := s.of.label(ctx, s)
	if err == nil {
		err = s.find(ctx, id)
	}
	if err != nil && ctx.Err() != nil {
		return err // it is this caller's, not the store's
	}
	l.looked, l.err = time.Now(), err
	switch {
	case err == nil:
		l.looked = time.Time{}
		l.known.Store(&knownLabel{id, time.Now().Add(labelTrust)})
		if l.away {
			l.away = false
			s.of.log.Info("the store of files is there again", "store", s.Location)
		}
	case errors.Is(err, ErrAway):
		l.known.Store(nil)
		if !l.away {
			l.away = true
			s.of.log.Error("a store of files is not the one that the database knows: nothing is served from it or changed in it until it is there", "err", err)
		}
	}
	return err
}

// Surely says that a store carries its label at this moment, before what is not in it is called lost; [ErrAway].
func (s *Store) Surely(ctx context.Context) error {
	k := s.label.known.Load()
	if k == nil {
		return s.look(ctx)
	}
	err := s.hasLabel(ctx, k.id)
	if errors.Is(err, ErrMissing) {
		return s.look(ctx)
	}
	return err
}

// find looks for a label that the database knows.
func (s *Store) find(ctx context.Context, id string) error {
	err := s.hasLabel(ctx, id)
	if errors.Is(err, ErrMissing) { // offered by one that died before it counted
		if err = s.fixLabel(ctx, id); errors.Is(err, ErrMissing) {
			err = s.hasLabel(ctx, id) // by another at this moment
		}
	}
	switch {
	case err == nil:
		return s.prepare(id)
	case errors.Is(err, ErrMissing):
		return fmt.Errorf("%w: %s (%s) has no %s%s: it is another folder or bucket, or its disk is not mounted. If it is the right one, 'locus blob adopt-folder' says so",
			ErrAway, s.Location, s.Where(), LabelPrefix, id)
	}
	return err
}

// Label gives a store a new label; note writes it down, or says that another was faster.
func (s *Store) Label(ctx context.Context, note func(id string) (bool, error)) error {
	id := strings.ToLower(rand.Text())
	if err := s.offerLabel(ctx, id); err != nil {
		return fmt.Errorf("label %s: %w", s.Location, err)
	}
	ours, err := note(id)
	switch {
	case errors.Is(err, db.ErrUnknownOutcome):
		return err // the offer stays: it may be the database's
	case err != nil || !ours:
		s.dropLabel(ctx, id)
		return err
	}
	err = s.fixLabel(ctx, id)
	if errors.Is(err, ErrMissing) {
		err = s.hasLabel(ctx, id) // another process read the note and made it count already
	}
	if err != nil {
		return fmt.Errorf("label %s: %w", s.Location, err)
	}
	return nil
}
