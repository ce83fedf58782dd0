package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gopkg.in/yaml.v3"
)

// debian is a Debian of a test's own: systemd, Postgres and the package, in namespaces of their own. Its disk begins as a
// copy of this machine's; nothing of it is left.
type debian struct {
	*testing.T
	dir   string // has the scripts and the packages that are brought in
	first string // the number of its first process
}

// newDebian starts one, or says why this machine cannot have one.
func newDebian(t *testing.T) (*debian, string) {
	t.Helper()
	if os.Getuid() != 0 {
		return nil, "only root can start a system of its own"
	}
	for _, need := range []string{"/lib/systemd/systemd", "/usr/bin/unshare", "/usr/bin/nsenter", "/usr/bin/dpkg-deb", "/usr/bin/apt", "/usr/bin/pg_createcluster", "/usr/sbin/runuser"} {
		if _, err := os.Stat(need); err != nil {
			return nil, err.Error()
		}
	}
	d := &debian{T: t, dir: t.TempDir()}
	group := fmt.Sprintf("locus-handbook-%d", os.Getpid())
	script, err := filepath.Abs("testdata/debian.sh")
	must(t, err)
	var log lockedBuffer
	outer := exec.Command("sh", script, d.dir, group)
	outer.Stdout, outer.Stderr = &log, &log
	must(t, outer.Start())
	ended := make(chan error, 1)
	go func() { ended <- outer.Wait() }()
	t.Cleanup(func() {
		_ = outer.Process.Kill() // and with it, by unshare's --kill-child, all of that system
		<-ended
		emptied := func() (bool, bool) {
			left, _ := filepath.Glob("/sys/fs/cgroup/*/" + group)
			if _, err := os.Stat("/sys/fs/cgroup/" + group); err == nil {
				left = append(left, "/sys/fs/cgroup/"+group)
			}
			for _, group := range left {
				_ = exec.Command("find", group, "-depth", "-type", "d", "-exec", "rmdir", "{}", ";").Run()
			}
			return len(left) == 0, len(left) == 0
		}
		comes(t, "the control groups of the other system are gone", emptied)
	})
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		select {
		case err := <-ended:
			ended <- err
			return nil, fmt.Sprintf("this machine gives no system of its own: %v: %s", err, log.String())
		default:
		}
		children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", outer.Process.Pid))
		if d.first = strings.TrimSpace(string(children)); d.first != "" {
			if _, err := d.sh("systemctl is-system-running --quiet"); err == nil {
				return d, ""
			}
		}
		if time.Now().After(deadline) {
			return nil, "this machine gives no system of its own: " + log.String()
		}
	}
}

// sh runs commands in it as root, and ends with the first that fails.
func (d *debian) sh(script string) (string, error) {
	ctx, cancel := context.WithTimeout(d.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "nsenter", "--target", d.first, "--all", "--root", "--wd",
		"env", "-i", "PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "sh", "-eux", "-c", "cd /root\n"+script)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

// bring puts a file of this machine into it.
func (d *debian) bring(from, to string) {
	d.Helper()
	file, err := os.Open(from)
	must(d.T, err)
	defer file.Close()
	cmd := exec.Command("nsenter", "--target", d.first, "--all", "--root", "--wd", "sh", "-c", `mkdir -p "$(dirname "$1")" && cat >"$1"`, "sh", to)
	cmd.Stdin = file
	if out, err := cmd.CombinedOutput(); err != nil {
		d.Fatalf("%v: %s", err, out)
	}
}

// debianPackage makes a package of what deploy/deb says, around a program. 'make dist' has nfpm do it.
func debianPackage(t *testing.T, binary, version string) string {
	t.Helper()
	text, err := os.ReadFile("../../deploy/deb/nfpm.yaml")
	must(t, err)
	var says struct {
		Maintainer, Description string
		Depends, Recommends     []string
		Contents                []struct {
			Src, Dst, Type string
			Info           struct{ Mode os.FileMode } `yaml:"file_info"`
		}
		Scripts map[string]string
	}
	must(t, yaml.Unmarshal(text, &says))
	root := t.TempDir()
	must(t, os.Chmod(root, 0o755))
	put := func(path string, mode os.FileMode, text []byte) {
		t.Helper()
		path = filepath.Join(root, path)
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		must(t, os.WriteFile(path, text, mode))
		must(t, os.Chmod(path, mode))
	}
	var settings []string
	for _, c := range says.Contents {
		var text []byte
		switch name := filepath.Base(c.Src); {
		case name == "locus":
			text, err = os.ReadFile(binary)
		case strings.HasSuffix(name, ".service") || strings.HasSuffix(name, ".timer"):
			text, err = os.ReadFile("../../deploy/systemd/" + name)
		case name == "deploy":
			for _, from := range []string{"fail2ban/filter.d/locus.conf", "fail2ban/jail.d/locus.conf"} {
				text, err := os.ReadFile("../../deploy/" + from)
				must(t, err)
				put(c.Dst+"/"+from, 0o644, text)
			}
			continue
		case strings.HasPrefix(c.Src, "deploy/"):
			text, err = os.ReadFile("../../" + c.Src)
		case name == "locus.example.yaml":
			text, err = exec.Command(binary, "config", "example").Output()
		default:
			continue // what is only read
		}
		must(t, err)
		mode := c.Info.Mode
		if mode == 0 {
			mode = 0o644
		}
		if strings.HasPrefix(c.Type, "config") {
			settings = append(settings, c.Dst)
		}
		put(c.Dst, mode, text)
	}
	for script, name := range map[string]string{"postinstall": "postinst", "preremove": "prerm", "postremove": "postrm"} {
		text, err := os.ReadFile("../../" + says.Scripts[script])
		must(t, err)
		put("DEBIAN/"+name, 0o755, text)
	}
	put("DEBIAN/conffiles", 0o644, []byte(strings.Join(settings, "\n")+"\n"))
	arch, err := exec.Command("dpkg", "--print-architecture").Output()
	must(t, err)
	put("DEBIAN/control", 0o644, fmt.Appendf(nil, "Package: locus\nVersion: %s\nArchitecture: %sMaintainer: %s\nDepends: %s\nRecommends: %s\nDescription: %s\n",
		version, arch, says.Maintainer, strings.Join(says.Depends, ", "), strings.Join(says.Recommends, ", "), strings.TrimSpace(strings.ReplaceAll(says.Description, "\n", "\n "))))
	deb := filepath.Join(t.TempDir(), "locus_"+version+".deb")
	if out, err := exec.Command("dpkg-deb", "--root-owner-group", "-Znone", "--build", root, deb).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return deb
}

// debianPrepared is what is there before a page's commands, beyond a Debian as it is installed.
var debianPrepared = map[string]string{
	// A cluster as the package of Postgres makes it, whatever became of it on this machine; and packages are only those that
	// are here. A locale is missing, as in containers.
	"install.md": `rm -rf /etc/postgresql/* /var/lib/postgresql/* /var/lib/apt/lists/*
echo 'APT::Get::Assume-Yes "true";' >/etc/apt/apt.conf.d/90yes
newest=$(ls -d /usr/lib/postgresql/* | sort -V | tail -1)
pg_createcluster "${newest##*/}" main -- --no-sync
systemctl start "postgresql@${newest##*/}-main"`,
	"configuration.md": `(umask 077; echo 'postgres:///locus?host=/var/run/postgresql' >/etc/locus/database-url)`,
	// The package's jail for ssh wants a log that only a machine with ssh has.
	"monitoring.md": `rm -f /etc/fail2ban/jail.d/*
mkdir -p /var/log/locus
echo 'time=2031-05-06T07:08:09.000Z level=WARN msg="failed sign-in" address=192.0.2.1 tenant=pds.example.com wrong=password id=x' >/var/log/locus/locus.log
systemctl start fail2ban
until fail2ban-client ping; do sleep 0.1; done # it is started before it listens`,
}

// debianShows is what must have come of a page's commands.
var debianShows = map[string]string{
	"install.md":       `systemctl is-active locus; test "$(stat -c %U:%a /var/lib/locus/master.key)" = locus:600`,
	"configuration.md": `systemctl is-active locus; test ! -e /var/lib/locus/master.key`,
	"monitoring.md":    `fail2ban-client status locus | grep 'Total failed:.*1'`,
	"upgrade.md":       `systemctl is-active locus; dpkg-query -W locus | grep -F 1.2.3; curl --fail --silent http://127.0.0.1:2590/readyz`,
}

// TestHandbookDebian runs the commands of the handbook that are about a Debian system in one: the package, its service, and
// secrets that systemd keeps.
func TestHandbookDebian(t *testing.T) {
	t.Parallel()
	names, texts := handbookPages(t)
	var pages []string
	all := map[string][]block{}
	for _, page := range names {
		var between []block // what runs elsewhere, too, and says whose command it is on such a system
		for _, b := range blocks(page, texts[page]) {
			switch {
			case b.info == onDebian:
				all[page] = append(append(all[page], between...), b)
				between = nil
			case b.info == "sh" && len(all[page]) > 0 && !slices.ContainsFunc(commandLines(b.text), func(c string) bool { return !strings.HasPrefix(c, "sudo -u locus ") }):
				between = append(between, b)
			}
		}
		if len(all[page]) > 0 {
			pages = append(pages, page)
		}
	}
	if len(pages) < 3 {
		t.Errorf("only %s have commands for Debian", pages)
	}
	d, why := newDebian(t)
	if d == nil {
		t.Logf("left out, commands of %s on a Debian: %s", pages, why)
		return
	}
	binary := filepath.Join(t.TempDir(), "locus")
	if out, err := exec.Command("go", "build", "-ldflags", "-s -w", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("build locus: %v: %s", err, out)
	}
	for _, version := range []string{"1.2.3", "1.2.4"} {
		d.bring(debianPackage(t, binary, version), "/root/locus_"+version+"_amd64.deb") // the pages' name, whatever the machine
	}
	if out, err := d.sh(`cat >/usr/local/bin/sudo <<'END'
#!/bin/sh
[ "$1" = -u ] || exec "$@"
user=$2
shift 2
exec runuser -u "$user" -- "$@"
END
chmod 755 /usr/local/bin/sudo`); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, page := range pages {
		if _, err := exec.LookPath("fail2ban-server"); err != nil && page == "monitoring.md" {
			t.Logf("left out, commands of %s: fail2ban is not installed here", page)
			continue
		}
		began := time.Now()
		if out, err := d.sh(debianPrepared[page]); err != nil {
			t.Fatalf("before %s: %v\n%s", page, err, out)
		}
		for _, b := range all[page] {
			if out, err := d.sh(b.text); err != nil {
				more, _ := d.sh("systemctl status --no-pager -n 40 locus postgresql@*")
				t.Fatalf("docs/%s:%d: %v\n%s\n%s", page, b.line, err, out, more)
			}
		}
		if out, err := d.sh(debianShows[page]); err != nil {
			t.Errorf("after %s: %v\n%s", page, err, out)
		}
		t.Logf("%s: %.1fs", page, time.Since(began).Seconds())
	}
}
