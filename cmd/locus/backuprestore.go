package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/archive"
	"github.com/auroralocus/locus/internal/archive/vault"
	"github.com/auroralocus/locus/internal/tenant"
)

// inputFlags open an archive.
type inputFlags struct {
	File           string `arg:"" help:"The archive; '-': standard input, which is first put into a temporary file; store:NAME: one of 'locus backup list'."`
	Identity       string `type:"path" placeholder:"FILE" help:"File with the age key that the archive was encrypted for."`
	PassphraseFile string `type:"path" placeholder:"FILE" help:"File with the passphrase that the archive was encrypted with, in its first line."`
}

// opener gives a function that opens the archive, decrypted, as often as it is wanted. stop removes what it needed.
func (f inputFlags) opener() (open func() (io.ReadCloser, error), stop func(), err error) {
	keys := archive.Keys{}
	if f.Identity != "" {
		text, err := os.ReadFile(f.Identity)
		if err != nil {
			return nil, nil, err
		}
		keys.Identities = string(text)
	}
	if f.PassphraseFile != "" {
		if keys.Passphrase, err = firstLine(f.PassphraseFile); err != nil {
			return nil, nil, err
		}
	}
	path, stop := f.File, func() {}
	if path == "-" {
		if path, err = spooled(os.Stdin); err != nil {
			return nil, nil, err
		}
		stop = func() { _ = os.Remove(path) }
	}
	return func() (io.ReadCloser, error) {
		file, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		in, err := keys.Unwrap(file)
		if err != nil {
			_ = file.Close()
			return nil, fmt.Errorf("%s: %w", f.File, err)
		}
		return struct {
			io.Reader
			io.Closer
		}{in, file}, nil
	}, stop, nil
}

// spooled keeps a stream that has to be read twice, as encrypted as it came.
func spooled(in io.Reader) (path string, err error) {
	f, err := os.CreateTemp("", "locus-restore-*") // mode 0600
	if err != nil {
		return "", err
	}
	_, err = io.Copy(f, in)
	if err = errors.Join(err, f.Close()); err != nil {
		_ = os.Remove(f.Name())
		return "", fmt.Errorf("keep standard input in %s: %w", f.Name(), err)
	}
	return f.Name(), nil
}

// explainArchive adds what to do next.
func explainArchive(err error) error {
	switch {
	case errors.Is(err, archive.ErrEncrypted):
		return fmt.Errorf("%w: --identity or --passphrase-file opens it", err)
	case errors.Is(err, archive.ErrDamaged):
		return fmt.Errorf("%w: nothing of it was restored; take another copy of it", err)
	case errors.Is(err, archive.ErrTooNew):
		return fmt.Errorf("%w: update this program first", err)
	case errors.Is(err, archive.ErrSealed):
		return fmt.Errorf("%w: give that key beside this one's (--master-key ID:HEX,ID:HEX), or make the archive again with --recipient or --passphrase-file, which carries what opens them", err)
	case errors.Is(err, act.ErrNoRecipient):
		return fmt.Errorf("%w (--recipient or --backup-recipient; --unencrypted)", err)
	case errors.Is(err, vault.ErrNotFound):
		return fmt.Errorf("%w: 'locus backup list' shows all", err)
	case errors.Is(err, act.ErrLiving):
		return fmt.Errorf("%w: --replace puts the archive in its place, --hostname restores it under another name", err)
	case errors.Is(err, act.ErrOtherTenant):
		return fmt.Errorf("%w: --hostname says that this is meant", err)
	case errors.Is(err, tenant.ErrHandlesExist), errors.Is(err, tenant.ErrHostnameTaken), errors.Is(err, tenant.ErrBadSetting):
		return explainTenant(err)
	}
	return err
}

var errBackgroundFile = errors.New("a file is read by this process: --background is for store:NAME")

type tenantRestoreCmd struct {
	storeFlags
	inputFlags
	waitFlags
	Hostname string            `placeholder:"NAME" help:"Hostname of the restored tenant; default: the one that it had. Handles under its former domains go under the new name."`
	Replace  bool              `help:"Put the archive in the place of the tenant that is there. It is served until then; what happened since the archive was made is gone."`
	Node     string            `placeholder:"NAME" help:"Database for a tenant that is not there: see 'locus node list'."`
	Set      map[string]string `placeholder:"KEY=VALUE" help:"A setting that is to be another one than in the archive, for a tenant that is not there; may be repeated. blob_store= puts its files where the deployment has them."`
}

func (c *tenantRestoreCmd) Run(ctx context.Context, log *slog.Logger) error {
	if name, ok := strings.CutPrefix(c.File, inStore); ok {
		return c.fromStore(ctx, log, name)
	}
	if c.Background {
		return errBackgroundFile
	}
	open, stop, err := c.opener()
	if err != nil {
		return err
	}
	defer stop()
	a, err := c.archives(ctx, log)
	if err != nil {
		return err
	}
	defer a.stop()
	spec := act.Restore{Open: open, Hostname: strings.ToLower(c.Hostname), Replace: c.Replace, Settings: c.Set}
	if c.Node != "" {
		n, err := a.tenants.Node(ctx, c.Node)
		if err != nil {
			return explainTenant(err)
		}
		spec.Node = n.ID
	}
	var sum act.RestoreResult
	args := map[string]any{"file": c.File, "hostname": c.Hostname, "replace": c.Replace}
	err = a.do(ctx, "tenant restore", a.idOf(ctx, c.Hostname, open), true, args, func(ctx context.Context, p archive.Progress) (any, error) {
		spec.Progress = p
		out, err := a.acts.Restore(ctx, byCommand(), spec)
		if err != nil {
			return nil, err
		}
		sum = act.RestoreResult{
			Hostname: out.Tenant.Hostname, MadeAt: out.Header.MadeAt, Replaced: out.Replaced, Rows: out.Loaded.Rows, Files: out.Loaded.Blobs,
			Missing: out.Loaded.BlobsMissing, NextSeq: out.NextSeq, Told: out.Told,
		}
		return sum, nil
	})
	if err != nil {
		return explainArchive(err)
	}
	return c.print(sum)
}

// idOf is the tenant that is going to be replaced, so that nothing else works on it meanwhile; 0: none, as far as can be
// told now.
func (a *archiver) idOf(ctx context.Context, hostname string, open func() (io.ReadCloser, error)) int64 {
	if hostname == "" {
		in, err := open()
		if err != nil {
			return 0
		}
		defer in.Close()
		r, err := archive.NewReader(in)
		if err != nil {
			return 0
		}
		hostname = r.Header.Tenant.Hostname
	}
	t, err := a.tenants.Get(ctx, hostname)
	if err != nil {
		return 0
	}
	return t.ID
}

func (c *tenantRestoreCmd) print(sum act.RestoreResult) error {
	if c.JSON {
		return printJSON(os.Stdout, sum)
	}
	fmt.Printf("%s is what it was at %s: %d rows, %d files\n", sum.Hostname, sum.MadeAt.Format(time.RFC3339), sum.Rows, sum.Files)
	if sum.Missing > 0 {
		fmt.Printf("%d files are missing; their accounts are told by com.atproto.repo.listMissingBlobs\n", sum.Missing)
	}
	fmt.Printf("its events go on with number %d; consumers are told anew of %d accounts\n", sum.NextSeq, sum.Told)
	return nil
}
