// Command locus is Aurora Locus: one process that hosts any number of AT Protocol PDS hostnames on one Postgres.
//
// It is the only reader of flags, environment and configuration; what it assembles is handed exactly what it needs.
package main

import (
	"context"
	"errors"
	"fmt"
	stdlog "log"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
)

// cli is the whole command line. What a deployment says once can be given as environment variables, which --help shows.
type cli struct {
	Config string           `placeholder:"FILE" help:"Configuration file; without it /etc/locus/locus.yaml, where that is. 'locus config example' prints one." env:"LOCUS_CONFIG"`
	Log    logFlags         `embed:"" prefix:"log-"`
	Asks   kong.VersionFlag `name:"version" hidden:"" help:"Print the version."` // people try it first

	Init     initCmd       `cmd:"" help:"Begin a deployment: the control schema, the facts that all servers share, the master key, a first token. Run again, it changes nothing."`
	Serve    serveCmd      `cmd:"" help:"Serve all tenants. With --dev: a private Postgres, a built-in PLC directory, two tenants and an account in each."`
	Tenant   tenantCmd     `cmd:"" help:"Create, list, show and configure tenants (hosted PDS hostnames)."`
	Account  accountCmd    `cmd:"" help:"Create, list, moderate and repair a tenant's accounts."`
	Signup   signupCmd     `cmd:"" help:"Decide on sign-ups that wait for approval."`
	Invite   inviteCmd     `cmd:"" help:"Create and list invite codes."`
	Operator operatorCmd   `cmd:"" help:"Name a tenant's operators, and give them tokens."`
	Token    tokenCmd      `cmd:"" help:"Make, list and revoke tokens of the operator API, which is about the whole deployment."`
	Pages    dashboardCmd  `cmd:"" name:"dashboard" help:"Let operators into the dashboard, and out of it."`
	Usage    usageCmd      `cmd:"" help:"Export what tenants used, day by day, for billing."`
	Audit    auditCmd      `cmd:"" help:"Read the log of what operators did."`
	Mail     mailCmd       `cmd:"" help:"See what became of a tenant's mail, and try its mail server."`
	Repo     repoCmd       `cmd:"" help:"Check repositories: tree, signature, records and event chain."`
	Blob     blobCmd       `cmd:"" help:"Count, move, limit and verify a tenant's files."`
	Deploy   deploymentCmd `cmd:"" name:"deployment" help:"Show and change what is true of the whole deployment."`
	Node     nodeCmd       `cmd:"" help:"Add, list and drain the databases that tenants lie in."`
	Job      jobCmd        `cmd:"" help:"See and cancel long work: moves, renames, backups, deletions."`
	Backup   backupCmd     `cmd:"" help:"Try whether backups are good for anything. 'locus tenant backup' makes them."`
	Key      keyCmd        `cmd:"" help:"Master keys, which seal what is secret in the database: see them, and put one in the place of another."`
	Migrate  migrateCmd    `cmd:"" help:"Bring the control schema and every tenant's schema to this version."`
	Doctor   doctorCmd     `cmd:"" help:"Look for what is wrong: database, keys, names, certificates, relays, an account. Nothing is changed."`
	Settings configCmd     `cmd:"" name:"config" help:"Check and show settings; print a configuration file."`
	Openapi  openapiCmd    `cmd:"" help:"Print the OpenAPI document of the methods served."`
	Complete completionCmd `cmd:"" name:"completion" help:"Print a script that completes commands and flags in your shell."`
	Asked    completeCmd   `cmd:"" name:"complete" hidden:"" help:"What the scripts ask."`
	Man      manCmd        `cmd:"" hidden:"" help:"Print the manual page."`
	TLS      tlsCmd        `cmd:"" name:"tls" help:"See, renew and remove the certificates that servers have made."`
	Version  versionCmd    `cmd:"" help:"Print the version."`
}

type versionCmd struct {
	jsonFlags
}

func (c versionCmd) Run() error {
	return c.say(outcome{"version": version(), "go": runtime.Version(), "platform": runtime.GOOS + "/" + runtime.GOARCH}, "locus %s", version())
}

// stamp is the version of a release: make dist sets it.
var stamp string

// version is the release's, the module's, or the commit that was built.
func version() string {
	if stamp != "" {
		return stamp
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			v = s.Value[:12]
		}
	}
	if v == "" || v == "(devel)" {
		return "development"
	}
	return v
}

// commandLine is the command line, ready to read arguments into c.
func commandLine(c *cli) (*kong.Kong, error) {
	k, err := kong.New(c,
		kong.Name("locus"),
		kong.Vars{"version": "locus " + version()},
		kong.Description("Aurora Locus hosts many AT Protocol PDSes: one binary, one Postgres, any number of isolated hostnames."),
		kong.ShortUsageOnError(),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, FlagsLast: true}),
	)
	if err == nil {
		groupFlags(k.Model)
	}
	return k, err
}

func main() {
	// The first signal asks everything to end; a second one ends the process at once.
	ctx, end := context.WithCancelCause(context.Background())
	defer end(nil)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		asked := <-signals
		signal.Stop(signals)
		end(interruption{asked})
	}()

	var c cli
	k, err := commandLine(&c)
	if err != nil {
		panic(err)
	}
	environ := os.Environ()
	again := func() (*configured, error) { return configure(settings(k.Model), os.Args[1:], environ) }
	said, unread := again()
	if unread == nil {
		unread = said.apply()
	}
	run, err := k.Parse(os.Args[1:])
	if unread != nil && (err != nil || run.Command() != "config check") {
		fmt.Fprintf(os.Stderr, "locus: %v\n", unread)
		os.Exit(1)
	}
	k.Stdout = os.Stderr // what follows is about a mistake: scripts that take what a command prints must not get it
	k.FatalIfErrorf(err)
	said.wrong = unread
	log, err := c.Log.open()
	k.FatalIfErrorf(err)
	log.said, log.again = said, again
	log.fixed = func(flag string) bool {
		return slices.ContainsFunc(os.Args, func(a string) bool { return a == flag || strings.HasPrefix(a, flag+"=") })
	}
	// Libraries write here what other machines did wrong, such as "Unsolicited response" of a broken service.
	stdlog.SetFlags(0)
	stdlog.SetOutput(slog.NewLogLogger(log.Handler(), slog.LevelDebug).Writer())
	run.BindTo(ctx, (*context.Context)(nil))
	err = run.Run(log.Logger, log, said)
	if status := exitOf(ctx, err, run.Command() == "serve"); status != 0 {
		os.Exit(status)
	}
}

// interruption is why a command ends that a signal asked to.
type interruption struct{ os.Signal }

func (i interruption) Error() string { return i.String() + " signal received" }

// exitOf says on standard error what went wrong, and gives the status to end with. A command that was interrupted did not do
// what it was asked for, whoever sees it: scripts get 128 and the signal, as from a shell. A server's end is one in order.
func exitOf(ctx context.Context, err error, serving bool) int {
	var code exitCode
	var asked interruption
	switch {
	case err == nil, serving && errors.Is(err, context.Canceled):
		return 0
	case errors.As(err, &code):
		return int(code)
	case errors.As(context.Cause(ctx), &asked) && !serving:
		fmt.Fprintf(os.Stderr, "locus: interrupted: %v\n", err)
		number, _ := asked.Signal.(syscall.Signal)
		return 128 + int(number)
	}
	fmt.Fprintf(os.Stderr, "locus: %v\n", err)
	return 1
}
