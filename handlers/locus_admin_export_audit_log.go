package handlers

import (
	"context"
	"encoding/csv"
	"io"
	"net/http"
	"strings"

	"github.com/auroralocus/locus/internal/xrpc"

	"github.com/go-json-experiment/json"

	"github.com/auroralocus/locus/internal/audit"
)

// exportPage is how many entries are in memory at once, or fewer if they are long.
const exportPage = 500

// exportAuditLog streams the audit log, oldest first, up to the moment of the call: a log that grows while it is read
// still has an end.
// spec: lexicon org.auroralocus.admin.exportAuditLog
func (m locusAdminMethods) exportAuditLog(ctx context.Context, c xrpc.OperatorCaller, in *locusAdminExportAuditLogInput) (*locusAdminExportAuditLogOutput, error) {
	f, err := auditFilter(in.Actor, in.Action, in.Subject, in.Since, in.Until)
	if err != nil {
		return nil, err
	}
	if now := m.now(); f.Until.IsZero() || f.Until.After(now) {
		f.Until = now
	}
	q := m.db.Tenant(c.Tenant.Schema).Q()
	each := func(put func(audit.Entry) error) error {
		for {
			page, more, err := audit.List(ctx, q, f, exportPage, roleName)
			if err != nil {
				return err
			}
			for _, e := range page {
				if err := put(e); err != nil {
					return err
				}
			}
			if !more {
				return nil
			}
			f.After = page[len(page)-1].ID
		}
	}
	name := c.Tenant.Hostname + "-audit-" + m.now().UTC().Format("20060102")
	if in.Format == "csv" {
		return xrpc.Stream("text/csv; charset=utf-8", attachment(name+".csv"), func(w io.Writer) error {
			out := csv.NewWriter(w)
			if err := out.Write([]string{"id", "at", "who", "role", "action", "subject", "detail", "address", "requestId", "outcome"}); err != nil {
				return err
			}
			err := each(func(e audit.Entry) error {
				row := []string{e.ID, string(datetime(e.At)), e.Who, e.Role, e.Action, e.Subject, string(e.Detail), e.Address, e.RequestID, e.Outcome}
				for i := range row {
					row[i] = harmlessCell(row[i])
				}
				return out.Write(row)
			})
			if err != nil {
				return err
			}
			out.Flush()
			return out.Error()
		}), nil
	}
	return xrpc.Stream("application/jsonl; charset=utf-8", attachment(name+".jsonl"), func(w io.Writer) error {
		return each(func(e audit.Entry) error {
			line, err := json.Marshal(auditView(e))
			if err != nil {
				return err
			}
			_, err = w.Write(append(line, '\n'))
			return err
		})
	}), nil
}

// attachment names the file that a stream is.
func attachment(name string) func(http.Header) {
	return func(h http.Header) {
		h.Set("Content-Disposition", `attachment; filename="`+name+`"`)
		h.Set("Cache-Control", "no-store")
	}
}

// harmlessCell keeps a spreadsheet from taking text that strangers sent for a formula.
func harmlessCell(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r", rune(s[0])) {
		return "'" + s
	}
	return s
}
