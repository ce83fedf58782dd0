package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/internal/tenant"
)

// usageJSON is the form that scripts read.
type usageJSON struct {
	Accounts    int64      `json:"accounts"`
	Records     int64      `json:"records"`
	RecordBytes int64      `json:"recordBytes"`
	Blobs       int64      `json:"blobs"`
	BlobBytes   int64      `json:"blobBytes"`
	Events      int64      `json:"events"`
	LastEventAt *time.Time `json:"lastEventAt,omitempty"`
}

func usageJSONOf(u tenant.Usage) *usageJSON {
	out := &usageJSON{Accounts: u.Accounts, Records: u.Records, RecordBytes: u.RecordBytes, Blobs: u.Blobs, BlobBytes: u.BlobBytes, Events: u.Events}
	if !u.LastEvent.IsZero() {
		out.LastEventAt = &u.LastEvent
	}
	return out
}

// lifeJSON is why a tenant is not served.
type lifeJSON struct {
	SuspendedAt   *time.Time `json:"suspendedAt,omitempty"`
	SuspendReason string     `json:"suspendReason,omitempty"`
	DeletedAt     *time.Time `json:"deletedAt,omitempty"`
	DeleteReason  string     `json:"deleteReason,omitempty"`
	PurgeAt       *time.Time `json:"purgeAt,omitempty"`
}

// tenantShown is one tenant with all that is known of it.
type tenantShown struct {
	tenantJSON
	Former []string   `json:"formerHostnames,omitempty"`
	Life   *lifeJSON  `json:"life,omitempty"`
	Usage  *usageJSON `json:"usage,omitempty"` // absent: it could not be read

	Certificate *certJSON `json:"certificate,omitempty"` // absent: none of ours
	MailServer  string    `json:"mailServer,omitempty"`  // its own, without the password
}

type tenantUsed struct {
	of    *tenant.Tenant
	usage tenant.Usage
	err   error
}

// usage lists what tenants hold. One whose database does not answer is listed without it.
func (c *tenantListCmd) usage(ctx context.Context, r *tenant.Registry, all []*tenant.Tenant) error {
	p := newProgress()
	list := make([]tenantUsed, 0, len(all))
	err := r.Usages(ctx, all, func(t *tenant.Tenant, u tenant.Usage, err error) {
		list = append(list, tenantUsed{t, u, err})
		p.show("asking tenants", int64(len(list)), int64(len(all)))
	})
	p.end()
	if err != nil {
		return err
	}
	sortUsed(list, c.Sort)
	if c.JSON {
		out := make([]tenantShown, len(list))
		for i, l := range list {
			out[i] = tenantShown{tenantJSON: jsonOf(l.of)}
			if l.err == nil {
				out[i].Usage = usageJSONOf(l.usage)
			}
		}
		return errors.Join(printJSON(os.Stdout, out), unread(list))
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "HOSTNAME\tSTATE\tACCOUNTS\tRECORDS\tRECORD BYTES\tFILES\tFILE BYTES\tEVENTS\tLAST EVENT")
	for _, l := range list {
		if l.err != nil {
			fmt.Fprintf(w, "%s\t%s\t?\t?\t?\t?\t?\t?\t?\n", l.of.Hostname, l.of.State)
			continue
		}
		u := l.usage
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%s\n", l.of.Hostname, l.of.State, u.Accounts, u.Records, u.RecordBytes, u.Blobs, u.BlobBytes, u.Events, when(u.LastEvent))
	}
	return errors.Join(w.Flush(), unread(list))
}

func unread(list []tenantUsed) error {
	for _, l := range list {
		if l.err != nil {
			return fmt.Errorf("some could not be asked: %w", l.err)
		}
	}
	return nil
}

func when(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}

func sortUsed(list []tenantUsed, by string) {
	key := func(l tenantUsed) int64 {
		switch by {
		case "bytes":
			return l.usage.RecordBytes + l.usage.BlobBytes
		case "accounts":
			return l.usage.Accounts
		case "records":
			return l.usage.Records
		case "events":
			return l.usage.Events
		case "active":
			return l.usage.LastEvent.UnixMicro()
		}
		return 0
	}
	slices.SortFunc(list, func(a, b tenantUsed) int {
		return cmp.Or(cmp.Compare(key(b), key(a)), strings.Compare(a.of.Hostname, b.of.Hostname))
	})
}

// showTenant prints a tenant with what it holds and why it is not served.
func showTenant(ctx context.Context, out io.Writer, d *db.DB, r *tenant.Registry, t *tenant.Tenant, mailServer string, asJSON bool) error {
	life, err := r.Life(ctx, t)
	if err != nil {
		return err
	}
	shown := tenantShown{tenantJSON: jsonOf(t), MailServer: mailServer}
	for _, f := range t.Former {
		shown.Former = append(shown.Former, f.Hostname)
	}
	u, usageErr := r.Usage(ctx, t)
	if usageErr == nil {
		shown.Usage = usageJSONOf(u)
	}
	at := func(t time.Time) *time.Time {
		if t.IsZero() {
			return nil
		}
		return &t
	}
	if life != (tenant.Life{}) {
		shown.Life = &lifeJSON{at(life.SuspendedAt), life.SuspendReason, at(life.DeletedAt), life.DeleteReason, at(life.PurgeAt)}
	}
	cert, certText, err := certOf(ctx, d, t.Hostname)
	if err != nil {
		return err
	}
	shown.Certificate = cert
	if asJSON {
		return printJSON(out, shown)
	}
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	if mailServer == "" {
		mailServer = "the deployment's"
	}
	fmt.Fprintf(w, "certificate\t%s\nmail server\t%s\n", certText, mailServer)
	if len(shown.Former) > 0 {
		fmt.Fprintf(w, "former names\t%s\n", strings.Join(shown.Former, ", "))
	}
	if !life.SuspendedAt.IsZero() {
		fmt.Fprintf(w, "suspended\t%s\t%s\n", when(life.SuspendedAt), life.SuspendReason)
	}
	if !life.DeletedAt.IsZero() {
		fmt.Fprintf(w, "deleted\t%s\t%s\nremoved\t%s\n", when(life.DeletedAt), life.DeleteReason, when(life.PurgeAt))
	}
	if shown.Usage != nil {
		fmt.Fprintf(w, "accounts\t%d\nrecords\t%d, %d bytes\nfiles\t%d, %d bytes\nevents\t%d, the last %s\n", u.Accounts, u.Records, u.RecordBytes, u.Blobs, u.BlobBytes, u.Events, when(u.LastEvent))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return printTenant(out, t, false)
}
