package account

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json"

	accounts "github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/proxy"
)

// moderationPage is what the page of moderation shows.
type moderationPage struct {
	Records, Blobs []accounts.TakenDown
	Service        bool   // there is somebody to appeal to
	About, Why     string // what was entered
}

func moderationData(l *look) (any, error) {
	records, blobs, err := accounts.OwnTakedowns(l.R.Context(), l.pages.db.Tenant(l.Tenant.Schema).Q(), l.owner.AID)
	if err != nil {
		return nil, err
	}
	d := &moderationPage{Records: records, Blobs: blobs, About: l.Typed("about"), Why: l.Typed("why")}
	if l.pages.proxy != nil {
		_, d.Service = l.pages.proxy.Report(l.Tenant)
	}
	return d, nil
}

// Any says whether anything is taken down beside the account.
func (d *moderationPage) Any() bool { return len(d.Records)+len(d.Blobs) > 0 }

// maxAppeal bounds an appeal's text, in characters: as the lexicon of reports does.
const maxAppeal = 2000

// appeal sends an appeal to the service that reports go to.
// spec: lexicon com.atproto.moderation.createReport
func appeal(l *look) error {
	why := l.Form.Text("why")
	if n := utf8.RuneCountInString(why); n == 0 || n > maxAppeal {
		return errWhy
	}
	data, err := moderationData(l)
	if err != nil {
		return err
	}
	subject, why, ok := appealOf(l.owner.DID, data.(*moderationPage), l.Form.Get("about"), why)
	if !ok {
		return errWhy
	}
	if l.pages.proxy == nil {
		return errAppeal
	}
	target, ok := l.pages.proxy.Report(l.Tenant)
	if !ok {
		return errAppeal
	}
	if err := l.limit(appealBuckets); err != nil {
		return err
	}
	text, err := json.Marshal(map[string]any{"reasonType": "com.atproto.moderation.defs#reasonAppeal", "reason": why, "subject": subject})
	if err != nil {
		return err
	}
	caller := proxy.Caller{Tenant: l.Tenant, AID: l.owner.AID, DID: l.owner.DID, Asks: l.owner.Asks}
	_, err = l.pages.proxy.SendReport(l.R.Context(), caller, target, http.Header{"Content-Type": {"application/json"}}, text)
	if ofService(err) {
		return errAppeal
	}
	if err != nil {
		return err
	}
	return l.done("appeal")
}

// ofService says whether it is the service that an appeal failed at.
func ofService(err error) bool {
	var refused *proxy.UpstreamError
	if errors.As(err, &refused) {
		return true
	}
	for _, e := range []error{proxy.ErrUnreachable, proxy.ErrAway, proxy.ErrAccountBusy, proxy.ErrBusy, proxy.ErrTooLarge, proxy.ErrCut, proxy.ErrEncoding} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// appealOf is what an appeal is about: the account, or one of the records or blobs that are taken down. A blob is named in
// the text, because reports know only accounts and records.
func appealOf(did string, d *moderationPage, about, why string) (subject map[string]any, text string, ok bool) {
	account := map[string]any{"$type": "com.atproto.admin.defs#repoRef", "did": did}
	kind, id, _ := strings.Cut(about, " ")
	switch kind {
	case "account":
		return account, why, true
	case "record":
		i := slices.IndexFunc(d.Records, func(r accounts.TakenDown) bool { return r.Collection+"/"+r.Key == id })
		if i < 0 {
			return nil, "", false
		}
		return map[string]any{"$type": "com.atproto.repo.strongRef", "uri": "at://" + did + "/" + id, "cid": d.Records[i].CID}, why, true
	case "file":
		if !slices.ContainsFunc(d.Blobs, func(b accounts.TakenDown) bool { return b.CID == id }) {
			return nil, "", false
		}
		return account, fmt.Sprintf("Blob %s: %s", id, why), true
	}
	return nil, "", false
}
