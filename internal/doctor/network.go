package doctor

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/auroralocus/locus/internal/outbound"
)

// others are whose clocks ours is held against, and how far they may be apart: a Date has whole seconds, and tokens for
// other services hold for a minute.
const othersApart = 10 * time.Second

// directory looks whether the PLC directory answers, and what time it has.
func (d Deployment) directory(ctx context.Context) []Finding {
	before := d.Now()
	theirs, err := d.Directory(ctx)
	if err != nil {
		return one(Error, "plc-unreachable", "the PLC directory does not answer: nobody can sign up or change a handle", err.Error(), "see whether this machine reaches "+d.DirectoryURL+"; status.plc.directory says how the public one is")
	}
	if theirs.IsZero() {
		return notLooked("its clock: it does not say what time it is")
	}
	return d.against(d.DirectoryURL, theirs, before)
}

// relayClock holds our clock against a relay's.
func (d Deployment) relayClock(ctx context.Context, relay string) []Finding {
	before := d.Now()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, relay+"/xrpc/_health", nil)
	if err != nil {
		return notLooked("the relay's URL cannot be read: %v", err)
	}
	res, err := d.HTTP.Do(req)
	if err != nil {
		return notLooked("the relay does not answer: %v", err) // the tenants' checks find that
	}
	_, _ = outbound.ReadBody(res, maxAnswer) // whatever it says
	theirs, err := http.ParseTime(res.Header.Get("Date"))
	if err != nil {
		return notLooked("the relay does not say what time it is")
	}
	return d.against(relay, theirs, before)
}

// against compares a clock that was read since before.
func (d Deployment) against(whose string, theirs, before time.Time) []Finding {
	after := d.Now()
	if theirs.After(before.Add(-othersApart)) && theirs.Before(after.Add(othersApart)) {
		return nil
	}
	return one(Error, "clock-network", "the clock of this machine is wrong: other services refuse what it signs", fmt.Sprintf("%s says %s, this machine %s", whose, theirs.UTC().Format(time.RFC3339), after.UTC().Format(time.RFC3339)), "have it follow a time server (timedatectl, chrony)")
}
