package main

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// onSmallDisk gives a program a file system of 4 MB for a folder, in a mount namespace of its own.
func onSmallDisk(cmd *exec.Cmd, folder string) {
	cmd.Args = append([]string{"sh", "-c", `mount -t tmpfs -o size=4m tmpfs "$0" && exec "$@"`, folder, cmd.Path}, cmd.Args[1:]...)
	cmd.Path = "/bin/sh"
	if os.Getuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
		return
	}
	const sysAdmin = 21 // CAP_SYS_ADMIN, in the namespace
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: os.Getuid(), HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: os.Getgid(), HostID: os.Getgid(), Size: 1}},
		AmbientCaps: []uintptr{sysAdmin},
	}
}

// TestFullDisk: a disk without room is told by name, leaves nothing of what did not fit, and holds up nothing else.
func TestFullDisk(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	folder := filepath.Join(dir, "blobs")
	if err := os.MkdirAll(folder, 0o750); err != nil {
		t.Fatal(err)
	}
	trial := exec.Command("/bin/true")
	onSmallDisk(trial, folder)
	if out, err := trial.CombinedOutput(); err != nil {
		t.Logf("no file system of its own is permitted here (%v %s): internal/blob's TestFullDisk, with a limit of files' sizes, is the proof", err, out)
		return
	}
	t.Log("on a file system of 4 MB")
	s := serveAs(t, dir, func(cmd *exec.Cmd) { onSmallDisk(cmd, folder) })
	inside := filepath.Join("/proc", strconv.Itoa(s.cmd.Process.Pid), "root", folder)
	files := func() (n int) {
		err := filepath.WalkDir(inside, func(_ string, e os.DirEntry, err error) error {
			if err == nil && e.Type().IsRegular() && !strings.HasPrefix(e.Name(), ".locus-place-") {
				n++
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	alice := s.signIn("alice.test")
	upload := func(data []byte, want int, part string) json.RawMessage {
		t.Helper()
		status, answer, err := alice.do("POST", "com.atproto.repo.uploadBlob", "application/x-test", data)
		if err != nil || status != want || !strings.Contains(string(answer), part) {
			t.Fatalf("upload: %d %s %v", status, answer, err)
		}
		var out struct{ Blob json.RawMessage }
		_ = json.Unmarshal(answer, &out)
		return out.Blob
	}
	large := make([]byte, 1_000_000)
	_, _ = rand.Read(large)
	filler := filepath.Join(inside, "filler")
	if err := os.WriteFile(filler, make([]byte, 4<<20-300_000), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		upload(large, http.StatusInsufficientStorage, `"InsufficientStorage"`)
	}
	if n := files(); n != 1 {
		t.Errorf("%d files beside the one that fills the disk", n-1)
	}
	kept := &acknowledged{data: large[:20_000], ref: upload(large[:20_000], http.StatusOK, "")}
	if status, answer, err := alice.do("POST", "com.atproto.repo.createRecord", "application/json", kept.record(alice.did, "kept")); err != nil || status != http.StatusOK {
		t.Errorf("record: %d %s %v", status, answer, err)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	late := &acknowledged{data: large, ref: upload(large, http.StatusOK, "")}
	if status, answer, err := alice.do("POST", "com.atproto.repo.createRecord", "application/json", late.record(alice.did, "late")); err != nil || status != http.StatusOK {
		t.Errorf("record: %d %s %v", status, answer, err)
	}
	alice.has(kept)
	alice.has(late)
	s.stop()
}
