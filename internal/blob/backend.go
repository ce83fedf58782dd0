package blob

import (
	"context"
	"io"
	"time"
)

// backend is a place for objects: a disk, or S3.
type backend interface {
	// newSpool is for an upload to come into.
	newSpool() *spool
	// put makes what was spooled an object that is there, whole, for every process. Until settle it is provisional: what
	// a crash leaves behind of it is removed, unless there is a row for it.
	put(ctx context.Context, aid int64, object string, s *spool) error
	// sync makes what was put durable.
	sync(object string, s *spool) error
	// settle ends the provisional state: the object is durable, and so is its row.
	settle(aid int64, object string)
	// discard removes a provisional object for which there will be no row.
	discard(ctx context.Context, aid int64, object string)
	// doubt leaves a provisional object to the sweep: nobody knows whether there will be a row.
	doubt(aid int64, object string)
	// announced tells that put needs the object's name in the trash first.
	announced() bool

	// open gives an object and its size; errMissing.
	open(ctx context.Context, object string) (io.ReadSeekCloser, int64, error)
	// stat gives an object's size; errMissing.
	stat(ctx context.Context, object string) (int64, error)
	// confirm says whether the object of a row is settled, or durable anyway, and holds these bytes; errMissing.
	confirm(ctx context.Context, aid int64, object string) error
	// remove deletes objects; those that are not there are no error. It returns what could not be deleted, by name.
	remove(ctx context.Context, objects []string) map[string]error
	// list calls each for every object of a tenant, in no particular order.
	list(ctx context.Context, schema string, each func(found) error) error
	// sweep removes what crashed uploads left in the backend itself.
	sweep(ctx context.Context, before time.Time, has referrer) error
	// recover is called once before a place is used: rows get the bytes that a crash of the machine took.
	recover(ctx context.Context, has referrer) error
	// where says for people what the place is.
	where() string
	// near says whether looking for the label costs nothing, so that it is done with every use.
	near() bool
	// hasLabel looks for a label; errMissing. What the label is for: label.go.
	hasLabel(ctx context.Context, id string) error
	// offerLabel leaves one that does not count yet, fixLabel makes it count (errMissing: nobody offered it here), and
	// dropLabel takes the offer back.
	offerLabel(ctx context.Context, id string) error
	fixLabel(ctx context.Context, id string) error
	dropLabel(ctx context.Context, id string)
	// labels lists those that count, if strangers' are to be refused.
	labels(ctx context.Context) ([]string, error)
	// prepare makes what uploads need in a place that was found to be the one.
	prepare(id string) error
	// close ends what goes on in the background. Uploads have ended.
	close()
}

// referrer says whether a row has an object. When one has, and whole says that its bytes are not there, the row goes.
type referrer func(ctx context.Context, aid int64, object string, whole func() error) (bool, error)

// found is an object that a listing saw.
type found struct {
	object   string
	size     int64
	modified time.Time
}
