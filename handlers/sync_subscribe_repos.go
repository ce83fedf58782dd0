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

// quietReads is what a consumer may send in one message: none has anything to say.
const quietReads = 4 << 10

// subscribeRepos sends the tenant's events, each as it is stored, from the cursor on.
// spec: lexicon com.atproto.sync.subscribeRepos
func (m streamMethods) subscribeRepos(v visitor, w http.ResponseWriter, r *http.Request) error {
	if err := upgradeRequired(w, r); err != nil {
		return err
	}
	from := firehose.From{Window: time.Duration(v.Tenant.Settings.FirehoseRetentionHours) * time.Hour}
	if text := r.URL.Query().Get("cursor"); text != "" {
		seq, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return invalid("Invalid cursor: must be an integer")
		}
		from.Seq, from.HasSeq = seq, true
	}
	return m.serve(v, w, r, from, quietReads, func(k *socket, sub *firehose.Subscription) error {
		go k.listen(nil)
		if sub.Outdated {
			k.add(firehose.InfoWire(firehose.OutdatedCursor, "Requested cursor exceeded limit. Possibly missing events"))
		}
		for {
			if err := k.flush(); err != nil {
				return err
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
func (m streamMethods) serve(v visitor, w http.ResponseWriter, r *http.Request, from firehose.From, readLimit int64, run func(*socket, *firehose.Subscription) error) error {
	k, err := m.sockets.admit(v)
	if err != nil {
		return err
	}
	defer m.sockets.leave(k)
	// The cursor is looked up before the upgrade: a database that is away is an ordinary answer.
	from.For = v.path()
	sub, err := m.streams.Subscribe(r.Context(), v.Tenant.Schema, from)
	future := errors.Is(err, firehose.ErrFutureCursor)
	if err != nil && !future {
		return err
	}
	if sub != nil {
		defer sub.Close()
	}
	if err := k.accept(w, r, readLimit); err != nil {
		return nil // answered
	}
	if future {
		go k.listen(nil)
		k.add(firehose.ErrorWire(firehose.FutureCursor, "Cursor in the future."))
		_ = k.flush() // what can be done if it fails is done next
		k.finish(violates(firehose.FutureCursor, err))
		return nil
	}
	switch err := run(k, sub); {
	case errors.Is(err, firehose.ErrTooSlow):
		k.add(firehose.ErrorWire(firehose.ConsumerTooSlow, "Stream consumer too slow"))
		_ = k.flush()
		k.finish(violates(firehose.ConsumerTooSlow, err))
	case errors.Is(err, firehose.ErrClosed):
		k.finish(errGoingDown)
	default:
		k.finish(err)
	}
	return nil
}
