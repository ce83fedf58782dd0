package handlers

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/auroralocus/locus/internal/firehose"
)

// streamMethods are the streams of a tenant's events.
type streamMethods struct {
	streams *firehose.Tails
	sockets *sockets
}

// refused gives the answer to an error outside Huma, and logs what it hides.
func refused(r *http.Request, err error) *Error {
	e, hidden := translate(r.Context(), err)
	if hidden {
		stateOf(r.Context()).logCause(r, e, err)
	}
	return e
}

// quietReads is what a consumer may send in one message: none has anything to say.
const quietReads = 4 << 10

// subscribeRepos sends the tenant's events, each as it is stored, from the cursor on.
// spec: lexicon com.atproto.sync.subscribeRepos
func (m streamMethods) subscribeRepos(v visitor, w http.ResponseWriter, r *http.Request) {
	if upgradeRequired(w, r) {
		return
	}
	from := firehose.From{Window: time.Duration(v.Tenant.Settings.FirehoseRetentionHours) * time.Hour}
	if text := r.URL.Query().Get("cursor"); text != "" {
		seq, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			writeError(w, invalid("Invalid cursor: must be an integer"))
			return
		}
		from.Seq, from.HasSeq = seq, true
	}
	m.serve(v, w, r, from, quietReads, func(k *socket, sub *firehose.Subscription) error {
		go k.listen(nil)
		if sub.Outdated {
			k.add(firehose.InfoWire(firehose.OutdatedCursor, "Requested cursor exceeded limit. Possibly missing events"))
		}
		for {
			if err := k.flush(); err != nil {
				return errors.Join(errPeerGone, err)
			}
			batch, err := sub.Next(k.ctx, k.kick)
			if err != nil {
				return err
			}
			for _, it := range batch {
				k.add(it.Wire())
			}
		}
	})
}

// serve opens a socket on a subscription, lets run have it, and closes it with a code.
func (m streamMethods) serve(v visitor, w http.ResponseWriter, r *http.Request, from firehose.From, readLimit int64, run func(*socket, *firehose.Subscription) error) {
	k, full := m.sockets.admit(v)
	if full != nil {
		writeError(w, full)
		return
	}
	defer m.sockets.leave(k)
	// The cursor is looked up before the upgrade: a database that is away is an ordinary answer.
	from.For = v.path()
	sub, err := m.streams.Subscribe(r.Context(), v.Tenant.Schema, from)
	future := errors.Is(err, firehose.ErrFutureCursor)
	if err != nil && !future {
		writeError(w, refused(r, err))
		return
	}
	if sub != nil {
		defer sub.Close()
	}
	if err := k.accept(w, r, readLimit); err != nil {
		return // answered
	}
	if future {
		go k.listen(nil)
		k.add(firehose.ErrorWire(firehose.FutureCursor, "Cursor in the future."))
		_ = k.flush() // what can be done if it fails is done next
		k.finish(firehose.ErrFutureCursor)
		return
	}
	err = run(k, sub)
	if errors.Is(err, firehose.ErrTooSlow) {
		k.add(firehose.ErrorWire(firehose.ConsumerTooSlow, "Stream consumer too slow"))
		_ = k.flush()
	}
	k.finish(err)
}
