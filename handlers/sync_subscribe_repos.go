package handlers

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/auroralocus/locus/internal/xrpc"

	"github.com/auroralocus/locus/internal/firehose"
)

// streamMethods are the streams of a tenant's events.
type streamMethods struct {
	streams *firehose.Tails
	sockets *xrpc.Sockets
}

// quietReads is what a consumer may send in one message: none has anything to say.
const quietReads = 4 << 10

// subscribeRepos sends the tenant's events, each as it is stored, from the cursor on.
// spec: lexicon com.atproto.sync.subscribeRepos
func (m streamMethods) subscribeRepos(v xrpc.Visitor, w http.ResponseWriter, r *http.Request) error {
	if err := xrpc.UpgradeRequired(w, r); err != nil {
		return err
	}
	from := firehose.From{Window: time.Duration(v.Tenant.Settings.FirehoseRetentionHours) * time.Hour}
	if text := r.URL.Query().Get("cursor"); text != "" {
		seq, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return xrpc.Invalid("Invalid cursor: must be an integer")
		}
		from.Seq, from.HasSeq = seq, true
	}
	return m.serve(v, w, r, from, quietReads, func(k *xrpc.Socket, sub *firehose.Subscription) error {
		go k.Listen(nil)
		if sub.Outdated {
			k.Add(firehose.InfoWire(firehose.OutdatedCursor, "Requested cursor exceeded limit. Possibly missing events"))
		}
		for {
			if err := k.Flush(); err != nil {
				return err
			}
			batch, err := sub.Next(k.Context, k.Kick)
			if err != nil {
				return err
			}
			for _, it := range batch {
				k.Add(it.Wire())
			}
		}
	})
}

// serve opens a socket on a subscription, lets run have it, and closes it with a code.
func (m streamMethods) serve(v xrpc.Visitor, w http.ResponseWriter, r *http.Request, from firehose.From, readLimit int64, run func(*xrpc.Socket, *firehose.Subscription) error) error {
	k, err := m.sockets.Admit(v)
	if err != nil {
		return err
	}
	defer m.sockets.Leave(k)
	// The cursor is looked up before the upgrade: a database that is away is an ordinary answer.
	from.For = v.Path()
	sub, err := m.streams.Subscribe(r.Context(), v.Tenant.Schema, from)
	future := errors.Is(err, firehose.ErrFutureCursor)
	if err != nil && !future {
		return err
	}
	if sub != nil {
		defer sub.Close()
	}
	if err := k.Accept(w, r, readLimit); err != nil {
		return nil // answered
	}
	if future {
		go k.Listen(nil)
		k.Add(firehose.ErrorWire(firehose.FutureCursor, "Cursor in the future."))
		_ = k.Flush() // what can be done if it fails is done next
		k.Finish(xrpc.Violates(firehose.FutureCursor, err))
		return nil
	}
	switch err := run(k, sub); {
	case errors.Is(err, firehose.ErrTooSlow):
		k.Add(firehose.ErrorWire(firehose.ConsumerTooSlow, "Stream consumer too slow"))
		_ = k.Flush()
		k.Finish(xrpc.Violates(firehose.ConsumerTooSlow, err))
	case errors.Is(err, firehose.ErrClosed):
		k.Finish(xrpc.ErrGoingDown)
	default:
		k.Finish(err)
	}
	return nil
}
