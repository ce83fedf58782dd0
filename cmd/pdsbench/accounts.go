package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// maxBatch is the most writes that one applyWrites takes; prefillBytes keeps the commit of a prefill well below 2,000,000 bytes.
const (
	maxBatch     = 200
	prefillBytes = 1_000_000
)

// An account is one made by this program on the target, as kept in the accounts file.
type account struct {
	DID       string         `json:"did"`
	Handle    string         `json:"handle"`
	Password  string         `json:"password"`
	AccessJWT string         `json:"accessJwt"`
	Blobs     map[int]string `json:"blobs,omitempty"` // size of a file → its CID
	Records   map[int]int    `json:"records"`         // record size → how many keys of prefillKey(size, 0…) exist
}

func (a *account) bearer() string { return "Bearer " + a.AccessJWT }

// expires reads a token's exp claim without checking anything; the zero time when there is none.
func expires(jwt string) time.Time {
	parts := strings.Split(jwt, ".")
	if len(parts) != 3 {
		return time.Time{}
	}
	b, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return time.Time{}
	}
	var claims struct {
		Exp float64 `json:"exp"`
	}
	if json.Unmarshal(b, &claims) != nil || claims.Exp == 0 {
		return time.Time{}
	}
	return time.Unix(int64(claims.Exp), 0)
}

// The accounts file: which server they live on, and they.
type accountsFile struct {
	URL      string     `json:"url"`
	Host     string     `json:"host,omitempty"`
	Accounts []*account `json:"accounts"`
}

func loadAccounts(path, target, host string) ([]*account, error) {
	if path == "" {
		return nil, nil
	}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("load accounts: %w", err)
	}
	var f accountsFile
	if err := json.Unmarshal(b, &f); err != nil {
		return nil, fmt.Errorf("load accounts: %s: %w", path, err)
	}
	if f.URL != target || f.Host != host {
		return nil, fmt.Errorf("load accounts: %s holds accounts of %s %s", path, f.URL, f.Host)
	}
	return f.Accounts, nil
}

func saveAccounts(path, target, host string, accounts []*account) error {
	if path == "" {
		return nil
	}
	b, err := json.MarshalIndent(accountsFile{URL: target, Host: host, Accounts: accounts}, "", " ")
	if err != nil {
		return fmt.Errorf("save accounts: %w", err)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		return fmt.Errorf("save accounts: %w", err)
	}
	return nil
}

// A setup makes what a workload needs before it runs.
type setup struct {
	t        *target
	parallel int
	invite   string // code given by flag, or made once with the admin password
	admin    string // admin password
	nonce    string // differs in every run, so that names do not collide
	domain   string // handle domain with its dot
}

// describe learns the handle domain and, when the server wants invite codes and none was given, makes one.
// uses is how many accounts will be made with it.
func (s *setup) describe(uses int) error {
	c := newConn(s.t)
	defer c.close()
	var d struct {
		Domains []string `json:"availableUserDomains"`
		Invite  bool     `json:"inviteCodeRequired"`
	}
	if err := c.call("com.atproto.server.describeServer", nil, "", nil, &d); err != nil {
		return err
	}
	if len(d.Domains) == 0 {
		return errors.New("describeServer: the server offers no handle domain")
	}
	s.domain = d.Domains[0]
	if !d.Invite || s.invite != "" {
		return nil
	}
	if s.admin == "" {
		return errors.New("the server wants invite codes: give --invite-code or --admin-password")
	}
	var out struct {
		Code string `json:"code"`
	}
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("admin:"+s.admin))
	if err := c.call("com.atproto.server.createInviteCode", nil, basic, map[string]any{"useCount": uses}, &out); err != nil {
		return err
	}
	s.invite = out.Code
	return nil
}

// A newAccount is the input of createAccount.
type newAccount struct {
	Handle   string `json:"handle"`
	Email    string `json:"email"`
	Password string `json:"password"`
	Invite   string `json:"inviteCode,omitempty"`
}

// named fills in an account's input; the label stays within the 18 characters that a hosted handle may have.
func (s *setup) named(label string) newAccount {
	return newAccount{Handle: label + s.domain, Email: label + "@example.com", Password: "bench-" + s.nonce, Invite: s.invite}
}

// accounts returns n accounts that are signed in for at least the given time, making those that old has too few of.
func (s *setup) accounts(ctx context.Context, old []*account, n int, lasting time.Duration) ([]*account, error) {
	all := old
	for i := len(old); i < n; i++ {
		all = append(all, nil)
	}
	err := s.each(ctx, n, func(c *conn, i int) error {
		if all[i] == nil {
			in := s.named("b" + s.nonce + "a" + strconv.Itoa(i))
			a := &account{Handle: in.Handle, Password: in.Password, Records: map[int]int{}}
			if err := c.call("com.atproto.server.createAccount", nil, "", in, a); err != nil {
				return err
			}
			all[i] = a
			return nil
		}
		a := all[i]
		if time.Until(expires(a.AccessJWT)) > lasting {
			if err := c.call("com.atproto.server.getSession", nil, a.bearer(), nil, nil); err == nil {
				return nil
			}
		}
		return c.call("com.atproto.server.createSession", nil, "", map[string]string{"identifier": a.DID, "password": a.Password}, a)
	})
	made := all[:0:0]
	for _, a := range all {
		if a != nil {
			made = append(made, a)
		}
	}
	return made, err
}

// prefill sees to it that every account has the records prefillKey(size, 0) to prefillKey(size, n-1).
func (s *setup) prefill(ctx context.Context, accounts []*account, r recordShape, n int) error {
	return s.each(ctx, len(accounts), func(c *conn, i int) error {
		a := accounts[i]
		if a.Records == nil {
			a.Records = map[int]int{}
		}
		for a.Records[r.size] < n {
			from := a.Records[r.size]
			to := min(n, from+r.batch())
			if err := s.write(c, a, r, from, to, prefillKey); err != nil {
				return err
			}
			a.Records[r.size] = to
		}
		return nil
	})
}

// write creates the records number from to to-1 of an account in one commit.
func (s *setup) write(c *conn, a *account, r recordShape, from, to int, key func(size, i int) string) error {
	writes := make([]map[string]any, 0, to-from)
	for i := from; i < to; i++ {
		writes = append(writes, map[string]any{
			"$type": "com.atproto.repo.applyWrites#create", "collection": r.collection, "rkey": key(r.size, i),
			"value": json.RawMessage(r.encode(s.nonce, strconv.Itoa(i))),
		})
	}
	return c.call("com.atproto.repo.applyWrites", nil, a.bearer(), map[string]any{"repo": a.DID, "writes": writes}, nil)
}

// each runs fn for 0 to n-1 on a few connections.
func (s *setup) each(ctx context.Context, n int, fn func(c *conn, i int) error) error {
	g, ctx := errgroup.WithContext(ctx)
	jobs := make(chan int)
	g.Go(func() error {
		defer close(jobs)
		for i := range n {
			select {
			case jobs <- i:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	for range max(1, s.parallel) {
		g.Go(func() error {
			c := newConn(s.t)
			defer c.close()
			for i := range jobs {
				if err := fn(c, i); err != nil {
					return fmt.Errorf("prepare account %d: %w", i, err)
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// lookUp reads one record for the check after a run and returns its CID.
func lookUp(c *conn, repo, collection, rkey string) (string, error) {
	var out struct {
		CID string `json:"cid"`
	}
	err := c.call("com.atproto.repo.getRecord", url.Values{"repo": {repo}, "collection": {collection}, "rkey": {rkey}}, "", nil, &out)
	return out.CID, err
}
