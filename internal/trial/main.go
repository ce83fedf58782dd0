// Command trial is an operator's first day: a fresh Debian in a root folder of its own, the package, and docs/install.md.
//
// The folder is made by debootstrap and booted with systemd by systemd-nspawn, in a network of its own. There, names lead to
// a small internet: Pebble is the certificate authority, versitygw the bucket, a server of mail with TLS and password takes
// what is sent, the directory of DIDs is that of the development mode. They have the names that the real ones have, so that
// the blocks of the page run as they are written there; what stands in them for a secret is replaced. Then somebody from
// outside opens an account at each tenant over https, mails, uploads and reads back. Each step is timed.
//
// It needs root, Linux, and debootstrap and systemd-container of Debian.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

func main() {
	o := options{}
	flag.StringVar(&o.deb, "deb", "", "the package; default: the one in dist/ for this processor")
	flag.StringVar(&o.page, "page", "docs/install.md", "the page that is followed")
	flag.StringVar(&o.base, "base", "", "a root folder made by debootstrap earlier, which is copied; made anew without")
	flag.StringVar(&o.suite, "suite", "bookworm", "release of Debian")
	flag.StringVar(&o.mirror, "mirror", "http://deb.debian.org/debian", "where its packages are")
	flag.BoolVar(&o.keep, "keep", false, "keep the folder")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintf(os.Stderr, "trial: %v\n", err)
		os.Exit(1)
	}
}

type options struct {
	deb, page, base, suite, mirror string
	keep                           bool
}

// clock says what a step took when it is over.
type clock struct{ whole time.Duration }

func (c *clock) step(what string, f func() error) error {
	began := time.Now()
	err := f()
	took := time.Since(began)
	c.whole += took
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	fmt.Printf("%7.1f s  %s\n", took.Seconds(), what)
	return nil
}

func run(ctx context.Context, o options) (err error) {
	if os.Geteuid() != 0 {
		return errors.New("this needs root: it makes a root folder, boots it and gives it a network")
	}
	for _, program := range []string{"debootstrap", "systemd-nspawn", "nsenter", "ip"} {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("%s is missing: apt install debootstrap systemd-container util-linux iproute2", program)
		}
	}
	if o.deb == "" {
		if o.deb, err = packageOf("dist"); err != nil {
			return err
		}
	}
	page, err := readPage(o.page)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("/var/tmp", "locus-trial-")
	if err != nil {
		return err
	}
	if err := os.Chmod(dir, 0o755); err != nil { // Postgres runs as somebody else
		return err
	}
	w := &world{dir: dir}
	defer func() {
		w.close()
		if o.keep || err != nil {
			fmt.Printf("what was made is in %s\n", dir)
			return
		}
		err = os.RemoveAll(dir)
	}()
	made := &clock{}
	if err := made.step("a fresh Debian "+o.suite+" (not counted)", func() error { return w.debian(ctx, o) }); err != nil {
		return err
	}
	if err := made.step("a small internet around it (not counted)", func() error { return w.build(ctx) }); err != nil {
		return err
	}
	if err := made.step("its first boot (not counted)", func() error { return w.boot(ctx, o.deb) }); err != nil {
		return err
	}
	c := &clock{}
	for _, b := range page.blocks {
		text := page.filled(b.text, filepath.Base(o.deb))
		if err := c.step(b.what, func() error { return w.operator(ctx, text) }); err != nil {
			return err
		}
	}
	fmt.Printf("%7.1f s  from nothing to three tenants\n", c.whole.Seconds())
	if err := w.visit(ctx, c); err != nil {
		return err
	}
	return w.leave(ctx, c, o.deb)
}

// packageOf finds the package of this processor.
func packageOf(dir string) (string, error) {
	arch, err := exec.Command("dpkg", "--print-architecture").Output()
	if err != nil {
		return "", fmt.Errorf("ask dpkg for the architecture: %w", err)
	}
	found, err := filepath.Glob(filepath.Join(dir, "locus_*_"+strings.TrimSpace(string(arch))+".deb"))
	if err == nil && len(found) != 1 {
		err = fmt.Errorf("%d packages in %s: run 'make dist', or say -deb FILE", len(found), dir)
	}
	if err != nil {
		return "", err
	}
	return filepath.Abs(found[0])
}
