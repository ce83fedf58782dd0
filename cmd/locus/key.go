package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/job"
	"github.com/auroralocus/locus/internal/keyring"
)

type keyCmd struct {
	New    keyNewCmd    `cmd:"" help:"Make a master key, to be put behind the one in use. Nothing is changed in the database."`
	Status keyStatusCmd `cmd:"" aliases:"show" help:"Show the deployment's master keys, how much is sealed under each, which processes have them, and how old the tenants' token secrets are."`
	Check  keyCheckCmd  `cmd:"" help:"Prove that a copy of the master key is good: everything in the database is opened by it alone, or everything in a restored copy of the database. What came of it is noted, for 'locus doctor'."`
	Rotate keyRotateCmd `cmd:"" help:"Put one master key in the place of another, while all processes serve: when all of them know the new key, everything is sealed under it, and then the old one is refused. Interrupted, a server goes on with it."`
}

type keyNewCmd struct {
	ID     uint8  `placeholder:"N" help:"Number of the key, 1 to 255, which no other one has or had. Default: one above those of the file; 2 without a file."`
	Append string `type:"path" placeholder:"FILE" help:"Write it behind the keys in this file, instead of printing it."`
	jsonFlags
}

func (c *keyNewCmd) Run() error {
	if c.Append != "" {
		key, err := keyring.AppendMaster(c.Append, c.ID)
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(os.Stdout, map[string]any{"id": key.ID, "fingerprint": key.Fingerprint, "file": c.Append})
		}
		fmt.Printf("key %d (fingerprint %s) is in %s: give it to all processes, keep a copy elsewhere, and then run 'locus key rotate'\n", key.ID, key.Fingerprint, c.Append)
		return nil
	}
	id := cmp.Or(c.ID, 2)
	text := keyring.NewMasterText(id)
	if c.JSON {
		return printJSON(os.Stdout, map[string]any{"id": id, "key": text})
	}
	_, err := fmt.Println(text)
	return err
}

// keyFlags are what commands about master keys need.
type keyFlags struct {
	appFlags
	jsonFlags
}

// masters opens the deployment with its keys.
func (f keyFlags) masters(ctx context.Context, log *slog.Logger) (*app, func(), error) {
	a, stop, err := f.parts(ctx, log)
	if err != nil {
		return nil, nil, err
	}
	return a, stop, a.tenants.Refresh(ctx)
}

type keyStatusCmd struct {
	keyFlags
	NoCount bool `help:"Do not count what is sealed: that reads much of a large deployment."`
}

func (c *keyStatusCmd) Run(ctx context.Context, log *slog.Logger) error {
	a, stop, err := c.masters(ctx, log)
	if err != nil {
		return err
	}
	defer stop()
	p := newProgress()
	is, err := a.masters.Status(ctx, !c.NoCount, p.show)
	p.end()
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(os.Stdout, is)
	}
	return printKeys(os.Stdout, is)
}

// shownSecrets is how many tenants are named to people.
const shownSecrets = 10

func printKeys(out io.Writer, is act.KeyStatus) error {
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "KEY\tFINGERPRINT\tSTATE\tSINCE\tVALUES\tHERE\tCOPY PROVED")
	for _, k := range is.Keys {
		values, here := "", "no"
		if is.Counted {
			values = fmt.Sprint(k.Values)
		}
		if k.Here {
			here = "yes"
		}
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\t%s\n", k.ID, k.Fingerprint, k.State, when(k.Since), values, here, provedAt(k.CopyProvedAt))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for id, n := range is.Unknown {
		fmt.Fprintf(out, "%d values are sealed under key %d, which the deployment does not know\n", n, id)
	}
	for _, p := range is.Processes {
		if len(p.Lacks) > 0 || !p.Follows {
			fmt.Fprintf(out, "%s: lacks %s; goes by the list as it is now: %t\n", p.Address, strings.Trim(fmt.Sprint(p.Lacks), "[]"), p.Follows)
		}
	}
	for i, t := range is.Secrets {
		if i == shownSecrets {
			fmt.Fprintf(out, "and more: --json shows up to %d\n", act.MaxSecretAges)
			break
		}
		if i == 0 {
			fmt.Fprintln(out, "\nTOKEN SECRETS, THE OLDEST FIRST")
		}
		fmt.Fprintf(out, "%s  since %s (%d days)\n", t.Hostname, when(t.Since), int(time.Since(t.Since).Hours()/24))
	}
	if len(is.Secrets) > 0 {
		fmt.Fprintln(out)
	}
	if is.Left > 0 {
		fmt.Fprintf(out, "%d copies that moved tenants left behind were not looked at: they are deleted some time\n", is.Left)
	}
	_, err := fmt.Fprintf(out, "%d tenants, %d processes\n", is.Tenants, len(is.Processes))
	return err
}

type keyRotateCmd struct {
	keyFlags
	waitFlags
	To    uint8         `placeholder:"N" help:"Number of the key that is to seal from now on. Default: the one that is given and was never in use."`
	Wait  time.Duration `name:"wait-for-processes" help:"How long to wait for processes that do not know the new key; then nothing has changed. Default: ${default}." default:"15m"`
	Leave bool          `name:"leave-damaged" help:"Refuse the old key although something sealed under it does not open: it was damaged before, and is lost."`
}

func (c *keyRotateCmd) Run(ctx context.Context, log *slog.Logger) error {
	a, stop, err := c.masters(ctx, log)
	if err != nil {
		return err
	}
	defer stop()
	spec, err := a.masters.StartRotation(ctx, byCommand(), a.jobs, act.KeyRotation{To: int(c.To), Wait: c.Wait, Leave: c.Leave})
	if err != nil {
		return explainKey(err)
	}
	return explainKey(c.run(ctx, a.jobs, a.tenants, spec, c.JSON, func(out io.Writer, j job.Job) error {
		var sum act.KeyRotated
		if err := j.Into(&sum); err != nil {
			return err
		}
		for _, d := range sum.Damaged {
			fmt.Fprintf(out, "lost: %s\n", d)
		}
		_, err := fmt.Fprintf(out, "everything is sealed under key %d: %d values of %d tenants were; refused from now on: key %s. Backups made before need it still: keep it where they are, and take it out of the configuration\n",
			sum.Key, sum.Resealed, sum.Tenants, strings.Trim(fmt.Sprint(sum.Refused), "[]"))
		return err
	}))
}

// explainKey adds what to do next.
func explainKey(err error) error {
	switch {
	case errors.Is(err, act.ErrNotKnown):
		return fmt.Errorf("%w ('locus key status' lists them)", err)
	case errors.Is(err, act.ErrWhichKey):
		return fmt.Errorf("%w (--to)", err)
	}
	return err
}

type keyCheckCmd struct {
	keyFlags
	Copy     string `required:"" type:"path" placeholder:"FILE" help:"The copy of the master key, from where it is kept."`
	Restored string `placeholder:"URL" help:"Postgres with a restored copy of the database, which is only read: the copy of the key is tried on it, instead of on the deployment's own."`
}

// errKeyCheck makes the exit status tell what the output has told already.
var errKeyCheck = errors.New("the copy is not good")

func (c *keyCheckCmd) Run(ctx context.Context, log *slog.Logger) error {
	given, err := keyring.ReadMaster(c.Copy)
	if err != nil {
		return err
	}
	a, stop, err := c.masters(ctx, log)
	if err != nil {
		return err
	}
	defer stop()
	p := newProgress()
	var is act.KeyChecked
	if c.Restored == "" {
		is, err = a.masters.CheckCopy(ctx, byCommand(), given, p.show)
	} else {
		is, err = c.restored(ctx, log, a, given, p)
	}
	p.end()
	if err != nil {
		return err
	}
	if c.JSON {
		err = printJSON(os.Stdout, is)
	} else {
		err = printChecked(os.Stdout, is)
	}
	if err == nil && !is.OK {
		err = errKeyCheck
	}
	return err
}

func (c *keyCheckCmd) restored(ctx context.Context, log *slog.Logger, a *app, given *keyring.Master, p *progress) (act.KeyChecked, error) {
	flags := c.dataFlags
	flags.DatabaseURL = c.Restored
	copied, end, err := flags.open(ctx, log, db.Config{Log: log})
	if err != nil {
		return act.KeyChecked{}, err
	}
	defer end()
	return a.masters.CheckRestored(ctx, byCommand(), copied, given, p.show)
}

func printChecked(w io.Writer, is act.KeyChecked) error {
	for _, text := range is.Problems {
		fmt.Fprintln(w, text)
	}
	if !is.OK {
		_, err := fmt.Fprintf(w, "%d of %d values do not open\n", is.Wrong, is.Sealed)
		return err
	}
	made := ""
	if !is.MadeAt.IsZero() {
		made = ", as of " + when(is.MadeAt)
	}
	_, err := fmt.Fprintf(w, "the copy is good: it opens all %d values of %d tenants%s\n", is.Sealed, is.Tenants, made)
	return err
}
