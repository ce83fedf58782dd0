package db

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// errNotReplicated: the server gave up waiting for its synchronous standby, so what it committed may be lost with it.
var errNotReplicated = errors.New("committed on the server, but its standby has not confirmed it")

// inDoubt is where a connection notes that it was told so.
const inDoubt = "locus commit not replicated"

// noticed reads what the server says beside its answers. It commits with a mere warning when the wait for a synchronous
// standby is cancelled: the answer looks like success.
//
// The name of the server's function is looked at first: messages are translated.
func noticed(c *pgconn.PgConn, n *pgconn.Notice) {
	if n.Routine == "SyncRepWaitForLSN" || strings.Contains(n.Message, "wait for synchronous replication") {
		c.CustomData()[inDoubt] = true
	}
}

// confirmed looks at a commit that was answered with success: the error says that the standby is not known to have it.
func confirmed(c *pgx.Conn) error {
	data := c.PgConn().CustomData()
	if data[inDoubt] == nil {
		return nil
	}
	delete(data, inDoubt)
	return fmt.Errorf("%w: %w", ErrUnknownOutcome, errNotReplicated)
}

// confirmTime is how long Confirm asks at most.
const confirmTime = 15 * time.Second

// Confirm returns when all that was committed in the tenant's database before is as durable as the deployment asks for.
// What was read back after an unknown outcome is acknowledged only behind it: a commit that was cancelled while it
// waited for its standby can be read, and is lost with its server. ErrUnknownOutcome: that is not known, also where ctx has
// ended.
//
// It writes a message to the log of the server and waits as every commit does, for the same standbys: they have got
// everything before it then. A database that cannot be asked says nothing of that, so it is asked again for a while.
func (t *Tenant) Confirm(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, confirmTime)
	defer cancel()
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		_, err := t.Q().InsertWALMark(ctx)
		if err == nil {
			return nil
		}
		if IsUnavailable(err) && !errors.Is(err, ErrGivenUp) {
			select {
			case <-ctx.Done():
			case <-time.After(wait):
				continue
			}
		}
		return fmt.Errorf("%w: wait for the standbys: %w", ErrUnknownOutcome, err)
	}
}
