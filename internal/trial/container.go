package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// The two ends of the cable between the small internet and the new machine. The addresses look like anybody's, because the
// server does not speak to private ones. They lead nowhere else: the machine has no other way out.
const (
	outside   = "11.0.0.1"
	inside    = "11.0.0.2"
	namespace = "locus-trial"
	cable     = "locus-trial0"

	login = "debian" // who has sudo, as in images for clouds
)

// debian makes the root folder: what a server has before anybody did anything.
func (w *world) debian(ctx context.Context, o options) error {
	w.root = filepath.Join(w.dir, "root")
	var cmd *exec.Cmd
	if o.base != "" {
		cmd = exec.CommandContext(ctx, "cp", "-a", "--reflink=auto", o.base, w.root)
	} else {
		cmd = exec.CommandContext(ctx, "debootstrap", "--variant=minbase", "--include=systemd-sysv,dbus,sudo,openssl,ca-certificates", o.suite, w.root, o.mirror)
	}
	if err := quietly(cmd); err != nil {
		return err
	}
	for name, text := range map[string]string{
		"etc/hostname":             "pds\n",
		"etc/hosts":                "127.0.0.1 localhost pds\n",
		"etc/resolv.conf":          "nameserver " + outside + "\n",
		"etc/apt/apt.conf.d/trial": "Acquire::http::Proxy \"http://" + outside + packagesPort + "\";\nAPT::Get::Assume-Yes \"true\";\n", // who answers yes
		"etc/sudoers.d/trial":      login + " ALL=(ALL) NOPASSWD: ALL\n",
		"etc/default/locale":       "LANG=C.UTF-8\n", // as images of Debian for servers have it
	} {
		if err := os.WriteFile(filepath.Join(w.root, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return quietly(exec.CommandContext(ctx, "chroot", w.root, "useradd", "--create-home", "--shell", "/bin/bash", login))
}

// connect lays the cable.
func (w *world) connect(ctx context.Context) error {
	for _, line := range []string{
		"ip netns add " + namespace,
		"ip link add " + cable + " type veth peer name eth0 netns " + namespace,
		"ip addr add " + outside + "/24 dev " + cable,
		"ip link set " + cable + " up",
		"ip -n " + namespace + " addr add " + inside + "/24 dev eth0",
		"ip -n " + namespace + " link set eth0 up",
		"ip -n " + namespace + " link set lo up",
		"ip -n " + namespace + " route add default via " + outside,
	} {
		words := strings.Fields(line)
		if err := quietly(exec.CommandContext(ctx, words[0], words[1:]...)); err != nil {
			return fmt.Errorf("%s (is another trial running?): %w", line, err)
		}
		if words[1] == "netns" {
			w.closing = append(w.closing, func() { _ = exec.Command("ip", "netns", "del", namespace).Run() }) // and the cable with it
		}
	}
	return nil
}

// boot starts the machine, and waits until its systemd has nothing left to do.
func (w *world) boot(ctx context.Context, deb string) error {
	text, err := os.ReadFile(deb)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(w.root, "home/"+login, filepath.Base(deb)), text, 0o644); err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(w.dir, "boot.log"))
	if err != nil {
		return err
	}
	defer log.Close() // the machine has it
	cmd := exec.Command("systemd-nspawn", "--quiet", "--boot", "--register=no", "--keep-unit", "--console=pipe", "--resolv-conf=off", "--timezone=off", "--link-journal=no",
		"--machine=pds", "--network-namespace-path=/run/netns/"+namespace, "--directory="+w.root)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // an interrupt at the keyboard is for us
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	w.closing = append(w.closing, func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it shuts down in order
		select {
		case <-ended:
		case <-time.After(time.Minute):
			_ = cmd.Process.Kill()
			<-ended
		}
	})
	for deadline := time.Now().Add(5 * time.Minute); ; time.Sleep(100 * time.Millisecond) {
		if w.leader == "" {
			w.leader = child(cmd.Process.Pid)
		}
		if w.leader != "" {
			out, _ := w.command(ctx, "root", "systemctl is-system-running").Output() // says by its code what it says
			if state := strings.TrimSpace(string(out)); state == "running" || state == "degraded" {
				return nil
			}
		}
		select {
		case err := <-ended:
			ended <- err
			return fmt.Errorf("the machine ended: %w; see %s", errors.Join(err), log.Name())
		default:
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the machine does not come up: see %s", log.Name())
		}
	}
}

// child is the first process of the machine.
func child(pid int) string {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/task/" + strconv.Itoa(pid) + "/children")
	if err != nil {
		return ""
	}
	first, _, _ := strings.Cut(strings.TrimSpace(string(text)), " ")
	if name, err := os.ReadFile("/proc/" + first + "/comm"); err != nil || strings.TrimSpace(string(name)) != "systemd" {
		return "" // not there yet
	}
	return first
}

// command is a shell in the machine.
func (w *world) command(ctx context.Context, user, text string) *exec.Cmd {
	home := "/root"
	if user != "root" {
		home = "/home/" + user
	}
	cmd := exec.CommandContext(ctx, "nsenter", "--target", w.leader, "--mount", "--uts", "--ipc", "--net", "--pid", "--root",
		"/usr/bin/env", "-i", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME="+home, "LANG=C.UTF-8", "DEBIAN_FRONTEND=noninteractive",
		"/usr/bin/setpriv", "--reuid="+user, "--regid="+user, "--init-groups", "/bin/bash", "-e", "-o", "pipefail", "-c", `cd; eval "$0"`, text)
	cmd.Dir = "/"
	return cmd
}

// operator types a block. Each line that fails ends it.
func (w *world) operator(ctx context.Context, text string) error {
	cmd := w.command(ctx, login, text)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	err := cmd.Run()
	w.note("\n$ " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n$ ") + "\n" + said.String())
	if err != nil {
		return fmt.Errorf("%w\n%s", err, said.String())
	}
	return nil
}

// note writes down what was typed and said.
func (w *world) note(text string) {
	f, err := os.OpenFile(filepath.Join(w.dir, "operator.log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err == nil {
		_, err = f.WriteString(text)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "trial: %v\n", err)
	}
}

// quietly runs a program whose words matter only when it fails.
func quietly(cmd *exec.Cmd) error {
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", cmd.Args[0], err, out)
	}
	return nil
}
