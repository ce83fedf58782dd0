package repodb

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/repo"
)

// counted are the counters of an account, as they are stored.
func counted(t testing.TB, s *Store, schema db.Schema, aid int64) Sum {
	t.Helper()
	row, err := s.db.Tenant(schema).Q().GetRecordUsage(t.Context(), tenantdb.GetRecordUsageParams{AID: aid, Paths: []string{}})
	if err != nil {
		t.Fatal(err)
	}
	return Sum{*row.RecordCount, *row.RecordBytes}
}

// Every way of writing counts: what is there, what replaces it, what goes.
func TestRecordQuota(t *testing.T) {
	s, schema := testStore(t, Config{})
	aid, _ := newRepo(t, s.db, s.keys, schema)
	size := int64(len(post("12345")))
	quota := Quota{Account: Sum{Records: 3, Bytes: 4 * size}}
	write := func(w ...repo.Write) error {
		t.Helper()
		_, err := s.Write(t.Context(), schema, aid, Options{Quota: quota}, writes(w...))
		return err
	}
	must := func(want Sum, w ...repo.Write) {
		t.Helper()
		if err := write(w...); err != nil {
			t.Fatal(err)
		}
		if got := counted(t, s, schema, aid); got != want {
			t.Fatalf("%+v counted, want %+v", got, want)
		}
	}
	refused := func(kind error, part string, w ...repo.Write) {
		t.Helper()
		before := counted(t, s, schema, aid)
		if err := write(w...); !errors.Is(err, kind) || !strings.Contains(err.Error(), part) {
			t.Fatalf("%v, want %q", err, part)
		}
		if got := counted(t, s, schema, aid); got != before {
			t.Fatalf("a refused write counts: %+v, was %+v", got, before)
		}
	}
	path := func(n int) string { return fmt.Sprintf("com.example.a/%d", n) }
	long := func(more int64) []byte { return post("12345" + strings.Repeat("x", int(more)-1)) } // its head has a byte more

	must(Sum{1, size}, create(path(1), post("12345")))
	must(Sum{3, 3 * size}, create(path(2), post("12345")), create(path(3), post("12345")))
	refused(ErrAccountQuota, "3 records here, and would have 4", create(path(4), post("12345")))
	refused(ErrAccountQuota, "would have 4", create(path(4), post("12345")), create(path(5), post("1")), del(path(1)))
	must(Sum{3, 3 * size}, del(path(1)), create(path(4), post("12345")))
	// Bytes: a replacement counts by what it adds.
	must(Sum{3, 4 * size}, update(path(2), long(size)))
	refused(ErrAccountQuota, "bytes of records", update(path(3), post("123456")))
	must(Sum{3, 4*size - 1}, update(path(3), post("1234")))
	for range 10 { // each replaces as much as it writes: the bound that the process knows is not what counts
		must(Sum{3, 4*size - 1}, update(path(3), post("4321")))
		must(Sum{3, 4*size - 1}, update(path(3), post("1234")))
	}
	// Beyond the limits already: less and the same pass, more does not.
	quota.Account = Sum{Records: 1, Bytes: size}
	refused(ErrAccountQuota, "", create(path(9), post("1")))
	refused(ErrAccountQuota, "", update(path(3), post("12345")))
	must(Sum{3, 4*size - 1}, update(path(3), post("4321")))
	must(Sum{2, 3*size - 1}, del(path(4)))
	must(Sum{1, 2 * size}, del(path(3)))
	must(Sum{0, 0}, del(path(2)))
	must(Sum{1, size}, create(path(2), post("12345")))
	// A limit of its own comes first, and holds at once in a process that remembers the account.
	limit := func(records, bytes *int64) {
		t.Helper()
		err := s.db.Tenant(schema).Q().UpdateRecordLimits(t.Context(), tenantdb.UpdateRecordLimitsParams{AID: aid, MaxRecords: records, MaxRecordBytes: bytes})
		if err != nil {
			t.Fatal(err)
		}
	}
	two, none := int64(2), int64(0)
	limit(&two, &none)
	must(Sum{2, 2 * size}, create(path(3), post("12345")))
	refused(ErrAccountQuota, "2 records", create(path(4), post("12345")))
	quota.Account.Records = 100
	refused(ErrAccountQuota, "2 records", create(path(4), post("12345")))
	limit(nil, nil)
	refused(ErrAccountQuota, "bytes of records", create(path(4), post("12345")))
	checkAll(t, s, schema)
}

// Two processes and many writers at once: as many records as there may be, to the last, and all are counted.
func TestRecordQuotaAtOnce(t *testing.T) {
	url := dbtest.URL(t)
	keys := newKeys(t)
	a, b := dbtest.Open(t, url), dbtest.Open(t, url)
	schema := dbtest.Tenant(t, a)
	stores := []*Store{newStore(t, a, keys, Config{}), newStore(t, b, keys, Config{})}
	aids := make([]int64, 2)
	for i := range aids {
		aids[i], _ = newRepo(t, a, keys, schema)
	}
	const most = 60
	opts := Options{Quota: Quota{Account: Sum{Records: most}}}
	var made [2]atomic.Int64
	var wg sync.WaitGroup
	for i, s := range stores {
		for k, aid := range aids {
			for g := range 2 {
				wg.Go(func() {
					for n := range most / 2 {
						path := fmt.Sprintf("com.example.a/%d-%d-%d", i, g, n)
						_, err := s.Write(t.Context(), schema, aid, opts, writes(create(path, post(path))))
						switch {
						case err == nil:
							made[k].Add(1)
						case !errors.Is(err, ErrAccountQuota):
							t.Error(err)
						}
						if err == nil && n%4 == 0 {
							if _, err := s.Write(t.Context(), schema, aid, opts, writes(update(path, post("more than before "+path)))); err != nil {
								t.Error(err)
							}
						}
						if err == nil && n%5 == 0 {
							if _, err := s.Write(t.Context(), schema, aid, opts, writes(del(path))); err != nil {
								t.Error(err)
							}
							made[k].Add(-1)
						}
					}
				})
			}
		}
	}
	wg.Wait()
	for k, aid := range aids {
		if got := counted(t, stores[0], schema, aid); got.Records > most || got.Records != made[k].Load() {
			t.Errorf("%d records of %d, %d made", got.Records, most, made[k].Load())
		}
		for n := counted(t, stores[1], schema, aid).Records; n < most; n++ { // to the last
			path := fmt.Sprintf("com.example.b/%d", n)
			if _, err := stores[n%2].Write(t.Context(), schema, aid, opts, writes(create(path, post(path)))); err != nil {
				t.Error(err)
			}
		}
		if _, err := stores[0].Write(t.Context(), schema, aid, opts, writes(create("com.example.b/more", post("more")))); !errors.Is(err, ErrAccountQuota) {
			t.Error(err)
		}
	}
	checkAll(t, stores[0], schema) // the counters, and the tenant's sum
}

// What all accounts have counts together, also for a process that has just come.
func TestTenantQuotaOfRecords(t *testing.T) {
	s, schema := testStore(t, Config{})
	quota := Quota{Tenant: Sum{Records: 3, Bytes: 1000}}
	var aids []int64
	for range 3 {
		aid, _ := newRepo(t, s.db, s.keys, schema)
		aids = append(aids, aid)
	}
	write := func(s *Store, i int, w ...repo.Write) error {
		_, err := s.Write(t.Context(), schema, aids[i], Options{Quota: quota}, writes(w...))
		return err
	}
	for i := range aids {
		if err := write(s, i, create("com.example.a/1", post("1"))); err != nil {
			t.Fatal(err)
		}
	}
	other := newStore(t, s.db, s.keys, Config{})
	for _, s := range []*Store{s, other} {
		if err := write(s, 0, create("com.example.a/2", post("2"))); !errors.Is(err, ErrTenantQuota) {
			t.Errorf("%v", err)
		}
		if err := write(s, 0, update("com.example.a/1", post(strings.Repeat("x", 1000)))); !errors.Is(err, ErrTenantQuota) {
			t.Errorf("%v", err)
		}
	}
	// One process hears that another made room.
	if err := write(other, 1, del("com.example.a/1")); err != nil {
		t.Fatal(err)
	}
	if err := write(s, 0, create("com.example.a/2", post("2"))); err != nil {
		t.Errorf("%v", err)
	}
	checkAll(t, s, schema)
}

// An import counts as what it leaves there.
func TestImportCounts(t *testing.T) {
	s, schema := testStore(t, Config{})
	from, did := newRepo(t, s.db, s.keys, schema)
	size := int64(len(post("1")))
	for i := range 5 {
		mustWrite(t, s, schema, from, create(fmt.Sprintf("com.example.a/%d", i), post(fmt.Sprint(i))))
	}
	var car bytes.Buffer
	if err := s.Export(t.Context(), nil, schema, from, 0, &car); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		mustWrite(t, s, schema, from, del(fmt.Sprintf("com.example.a/%d", i)))
	}
	mustWrite(t, s, schema, from, create("com.example.b/other", post("not in the archive")))
	load := func(q Quota) error {
		return s.Import(t.Context(), nil, schema, from, did, q, bytes.NewReader(car.Bytes()))
	}
	before := counted(t, s, schema, from)
	for _, q := range []Quota{{Account: Sum{Records: 4}}, {Account: Sum{Bytes: 5*size - 1}}} {
		if err := load(q); !errors.Is(err, ErrAccountQuota) {
			t.Errorf("%+v: %v", q, err)
		}
	}
	if err := load(Quota{Tenant: Sum{Records: 4}}); !errors.Is(err, ErrTenantQuota) {
		t.Error(err)
	}
	if got := counted(t, s, schema, from); got != before {
		t.Errorf("refused imports count: %+v, was %+v", got, before)
	}
	if err := load(Quota{Account: Sum{Records: 5, Bytes: 5 * size}, Tenant: Sum{Records: 5, Bytes: 5 * size}}); err != nil {
		t.Fatal(err)
	}
	if got := counted(t, s, schema, from); got != (Sum{5, 5 * size}) {
		t.Errorf("%+v", got)
	}
	checkAll(t, s, schema)
	// The same again is no more.
	if err := load(Quota{Account: Sum{Records: 1}}); err != nil {
		t.Error(err)
	}
}

// An account that is older than the counters is counted while it is written to; wrong counters are found and mended.
func TestRecount(t *testing.T) {
	url := dbtest.URL(t)
	d := dbtest.Open(t, url)
	s, schema := newStore(t, d, newKeys(t), Config{}), dbtest.Tenant(t, d)
	aid, _ := newRepo(t, s.db, s.keys, schema)
	other, _ := newRepo(t, s.db, s.keys, schema)
	mustWrite(t, s, schema, other, create("com.example.a/1", post("1")))
	for i := range 20 {
		mustWrite(t, s, schema, aid, create(fmt.Sprintf("com.example.a/%d", i), post("x")))
	}
	name := schema.String()
	execSQL(t, url, "INSERT INTO "+name+".account_item (aid, kind, due_at) VALUES ($1, 13, 'epoch')", aid)
	execSQL(t, url, "UPDATE "+name+".stream_head h SET records = 1, record_bytes = a.record_bytes FROM "+name+".actor a WHERE a.aid = $1", other)
	execSQL(t, url, "UPDATE "+name+".actor SET record_count = NULL, record_bytes = NULL, limits_version = limits_version + 1 WHERE aid = $1", aid)
	opts := Options{Quota: Quota{Account: Sum{Records: 70}}}
	recount := func() (is Sum, was *Sum) {
		t.Helper()
		err := s.db.Tenant(schema).Tx(t.Context(), func(q *tenantdb.Queries) (err error) {
			is, was, err = Recount(t.Context(), q, aid)
			return err
		})
		if err != nil {
			t.Error(err)
		}
		return is, was
	}
	var wg sync.WaitGroup
	for g := range 2 {
		wg.Go(func() {
			for i := range 20 {
				path := fmt.Sprintf("com.example.b/%d-%d", g, i)
				if _, err := s.Write(t.Context(), schema, aid, opts, writes(create(path, post(path)))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Go(func() {
		if _, was := recount(); was != nil {
			t.Errorf("counted before: %+v", was)
		}
	})
	wg.Wait()
	if got := counted(t, s, schema, aid); got.Records != 60 {
		t.Errorf("%+v", got)
	}
	checkAll(t, s, schema)
	var left int
	queryRow(t, url, "SELECT count(*) FROM "+name+".account_item WHERE kind = 13", &left)
	if left != 0 {
		t.Errorf("%d accounts are left to count", left)
	}
	// From here on the limit holds, in the process that began before.
	for i := range 11 {
		_, err := s.Write(t.Context(), schema, aid, opts, writes(create(fmt.Sprintf("com.example.c/%d", i), post("x"))))
		if (i < 10) != (err == nil) {
			t.Errorf("%d: %v", i, err)
		}
	}

	execSQL(t, url, "UPDATE "+name+".actor SET record_count = 3, record_bytes = 5, limits_version = limits_version + 1 WHERE aid = $1", aid)
	problems := 0
	if err := s.CheckTenant(t.Context(), schema, func(r Report) error {
		problems += len(r.Problems)
		return nil
	}); err != nil || problems != 2 {
		t.Errorf("%d problems found, %v", problems, err)
	}
	if is, was := recount(); was == nil || was.Records != 3 || is.Records != 70 {
		t.Errorf("%+v %+v", is, was)
	}
	err := s.db.Tenant(schema).Tx(t.Context(), func(q *tenantdb.Queries) error {
		_, err := RecountTotals(t.Context(), q)
		return err
	})
	if err != nil {
		t.Error(err)
	}
	checkAll(t, s, schema)
}
