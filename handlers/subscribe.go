package handlers

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/auroralocus/locus/internal/xrpc"

	"github.com/go-json-experiment/json"

	"github.com/auroralocus/locus/internal/firehose"
)

// errBadOptions: a client's message is not one we know.
var errBadOptions = errors.New("invalid options_update")

// optionsLimit is the longest message of a client: 10,000 DIDs fit.
const optionsLimit = 1 << 20

// subscribe is the stream as JSON, in Jetstream's wire format.
// spec: jetstream#consuming-jetstream
func (m streamMethods) subscribe(v xrpc.Visitor, w http.ResponseWriter, r *http.Request) error {
	if err := xrpc.UpgradeRequired(w, r); err != nil {
		return err
	}
	from, filter, err := subscription(r)
	if err != nil {
		return err
	}
	from.Window = time.Duration(v.Tenant.Settings.FirehoseRetentionHours) * time.Hour
	hello := r.URL.Query().Get("requireHello") == "true"
	return m.serve(v, w, r, from, optionsLimit, func(k *xrpc.Socket, sub *firehose.Subscription) error {
		var wanted atomic.Pointer[firehose.Filter]
		wanted.Store(filter)
		greeted := make(chan struct{}, 1)
		go k.Listen(func(text []byte) error {
			f, err := optionsUpdate(text)
			if err == nil {
				wanted.Store(f)
				select {
				case greeted <- struct{}{}:
				default:
				}
				return nil
			}
			k.End(xrpc.Violates("invalid options_update", err))
			return err
		})
		for hello {
			select {
			case <-greeted:
				hello = false
			case <-k.Kick:
				if err := k.Flush(); err != nil {
					return err
				}
			case <-k.Context.Done():
				return k.Cause()
			}
		}
		for {
			if err := k.Flush(); err != nil {
				return err
			}
			batch, err := sub.Next(k.Context, k.Kick)
			if err != nil {
				return err
			}
			f := wanted.Load()
			for _, it := range batch {
				if err := addMessages(k, it, f, from.TimeUS); err != nil {
					v.LogError(err)
				}
			}
		}
	})
}

// subscription is what a request asks for: from where on, and of what.
func subscription(r *http.Request) (from firehose.From, filter *firehose.Filter, err error) {
	q := r.URL.Query()
	maxSize, err := strconv.Atoi(q.Get("maxMessageSizeBytes"))
	if err != nil && q.Get("maxMessageSizeBytes") != "" {
		return from, nil, xrpc.Invalid("Invalid maxMessageSizeBytes: must be an integer")
	}
	if filter, err = firehose.NewFilter(q["wantedCollections"], q["wantedDids"], maxSize); err != nil {
		return from, nil, xrpc.Invalid("%s", xrpc.Said(err, nil))
	}
	if q.Get("compress") == "true" || r.Header.Get("Socket-Encoding") == "zstd" {
		return from, nil, xrpc.Invalid("Compression is not offered here: leave out compress and Socket-Encoding")
	}
	if text := q.Get("cursor"); text != "" {
		if from.TimeUS, err = strconv.ParseInt(text, 10, 64); err != nil {
			return from, nil, xrpc.Invalid("Invalid cursor: must be a time in microseconds")
		}
		from.HasTime = true
	}
	return from, filter, nil
}

// addMessages adds those of an event's messages that are wanted.
func addMessages(k *xrpc.Socket, it *firehose.Item, f *firehose.Filter, from int64) error {
	did, err := it.DID()
	if err != nil || !f.WantsDID(did) {
		return err
	}
	messages, err := it.Messages()
	for i := range messages {
		// A cursor may point into a commit.
		if g := &messages[i]; g.TimeUS >= from && f.Wants(g) {
			k.Add(g.Wire())
		}
	}
	return err
}

// optionsUpdate reads {"type":"options_update","payload":{…}}, which replaces the whole filter.
func optionsUpdate(text []byte) (*firehose.Filter, error) {
	var in struct {
		Type    string `json:"type"`
		Payload struct {
			WantedCollections   []string `json:"wantedCollections"`
			WantedDIDs          []string `json:"wantedDids"`
			MaxMessageSizeBytes int      `json:"maxMessageSizeBytes"`
		} `json:"payload"`
	}
	if err := json.Unmarshal(text, &in); err != nil {
		return nil, fmt.Errorf("%w: %w", errBadOptions, err)
	}
	if in.Type != "options_update" {
		return nil, fmt.Errorf("%w: type %.50q", errBadOptions, in.Type)
	}
	f, err := firehose.NewFilter(in.Payload.WantedCollections, in.Payload.WantedDIDs, in.Payload.MaxMessageSizeBytes)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errBadOptions, err)
	}
	return f, nil
}
