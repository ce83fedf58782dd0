package account

import (
	accounts "github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/blob"
	"github.com/auroralocus/locus/repo/repodb"
)

// overview is what the first page shows.
type overview struct {
	Records, RecordBytes int64
	RecordLimit          int64 // of bytes; 0: none
	Files, FileBytes     int64
	FileLimit            int64 // likewise
	SignIns              []accounts.Activity
}

// use is how much of something an account takes.
type use struct {
	Key                 string // of its text
	Count, Bytes, Limit int64
}

// Uses is what the account takes.
func (o *overview) Uses() []use {
	return []use{
		{"account.o.records", o.Records, o.RecordBytes, o.RecordLimit},
		{"account.o.files", o.Files, o.FileBytes, o.FileLimit},
	}
}

// signInsShown is how many sign-ins the first page shows.
const signInsShown = 5

func overviewData(l *look) (any, error) {
	d, err := l.usage()
	if err != nil {
		return nil, err
	}
	log, err := l.pages.acts.Activity(l.R.Context(), l.Tenant, l.owner)
	if err != nil {
		return nil, err
	}
	d.SignIns = log.SignIns[:min(len(log.SignIns), signInsShown)]
	return d, nil
}

func (l *look) usage() (*overview, error) {
	u, err := l.pages.db.Tenant(l.Tenant.Schema).Q().GetAccountUsage(l.R.Context(), l.owner.AID)
	if err != nil {
		return nil, err
	}
	set := &l.Tenant.Settings
	most := repodb.LimitsOf(u.MaxRecords, u.MaxRecordBytes, repodb.Sum{Records: set.RecordAccountCount, Bytes: set.RecordAccountBytes})
	return &overview{
		Records: u.Records, RecordBytes: u.RecordBytes, RecordLimit: most.Bytes,
		Files: u.Blobs, FileBytes: u.Bytes, FileLimit: blob.LimitOf(u.MaxBytes, set.BlobAccountLimit),
	}, nil
}
