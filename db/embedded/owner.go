package embedded

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	osuser "os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// socketLimit is the longest path of a Unix socket: 107 bytes on Linux, 103 on macOS.
const socketLimit = 103

// owner is who the server runs as. The zero owner is ourselves.
type owner struct {
	uid, gid  int
	other     bool // uid and gid are not ours: we are root and give our rights away
	namespace bool // we are root and appear as another uid inside a user namespace; files stay root's
}

// chooseOwner decides who runs the server whose data are in data.
//
// Postgres refuses to run as root. Then it runs as the owner of existing data, else as postgres, else as nobody; if
// that user cannot reach the folder (it is under a home with rights 0700), inside a user namespace in which root has
// another number.
func chooseOwner(ctx context.Context, bin Binaries, data string) (owner, error) {
	me := os.Geteuid()
	has := -1 // the owner of existing data
	if info, err := os.Stat(data); err == nil {
		has = int(info.Sys().(*syscall.Stat_t).Uid)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return owner{}, fmt.Errorf("look at the database folder: %w", err)
	}
	if me != 0 {
		if has >= 0 && has != me {
			return owner{}, fmt.Errorf("the database in %s belongs to uid %d, and we are uid %d: run as that user or choose another folder", data, has, me)
		}
		return owner{}, nil
	}
	if has > 0 {
		o := owner{uid: has, gid: has, other: true}
		if u, err := osuser.LookupId(strconv.Itoa(has)); err == nil {
			o.gid, _ = strconv.Atoi(u.Gid)
		}
		return o, nil
	}
	var why error
	if has < 0 { // data of root's own were made inside a namespace
		for _, name := range []string{"postgres", "nobody"} {
			u, err := osuser.Lookup(name)
			if err != nil {
				continue
			}
			o := owner{other: true}
			o.uid, _ = strconv.Atoi(u.Uid)
			o.gid, _ = strconv.Atoi(u.Gid)
			if why = reachable(filepath.Dir(data), o); why == nil {
				return o, nil
			}
			break
		}
	}
	o := owner{namespace: true}
	cmd := exec.CommandContext(ctx, filepath.Join(bin.Dir, "postgres"), "--version")
	cmd.Env, cmd.Dir, cmd.SysProcAttr = environment(bin.Dir), "/", o.attr()
	if err := cmd.Run(); err != nil {
		return owner{}, fmt.Errorf("postgres must not run as root, and cannot run as another user in %s: %w (user namespace: %w)",
			filepath.Dir(data), errors.Join(why, errors.New("choose a folder that other users may pass through, such as /var/lib/locus")), err)
	}
	return o, nil
}

// reachable tells whether o may pass through every folder on the way to dir.
func reachable(dir string, o owner) error {
	for p := dir; ; p = filepath.Dir(p) {
		info, err := os.Stat(p)
		if err != nil {
			return err
		}
		st := info.Sys().(*syscall.Stat_t)
		mode := info.Mode().Perm()
		ok := mode&0o001 != 0
		if int(st.Uid) == o.uid {
			ok = mode&0o100 != 0
		} else if int(st.Gid) == o.gid {
			ok = mode&0o010 != 0
		}
		if !ok {
			return fmt.Errorf("uid %d may not pass through %s (rights %04o)", o.uid, p, mode)
		}
		if p == filepath.Dir(p) {
			return nil
		}
	}
}

// attr starts a process as the owner.
func (o owner) attr() *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{}
	switch {
	case o.other:
		a.Credential = &syscall.Credential{Uid: uint32(o.uid), Gid: uint32(o.gid)}
	case o.namespace:
		enterNamespace(a)
	}
	return a
}

// give makes path the owner's.
func (o owner) give(path string) error {
	if !o.other {
		return nil
	}
	return os.Chown(path, o.uid, o.gid)
}

// socketFolder makes the folder of the socket: under dir, or, where that path is too long, under the temporary folder.
func socketFolder(dir string, o owner) (string, error) {
	path := filepath.Join(dir, "run")
	if len(filepath.Join(path, ".s.PGSQL.5432.lock")) > socketLimit {
		sum := sha256.Sum256([]byte(dir))
		name := fmt.Sprintf("locus-%x", sum[:6])
		path = filepath.Join(os.TempDir(), name)
		if len(filepath.Join(path, ".s.PGSQL.5432.lock")) > socketLimit {
			path = filepath.Join("/tmp", name)
		}
	}
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("make the folder of the database socket: %w", err)
	}
	// In a shared temporary folder somebody else might have made it first, to listen in our server's place.
	info, err := os.Lstat(path)
	if err != nil {
		return "", err
	}
	uid := int(info.Sys().(*syscall.Stat_t).Uid)
	if !info.IsDir() || (uid != os.Geteuid() && !(o.other && uid == o.uid)) {
		return "", fmt.Errorf("the folder of the database socket, %s, belongs to uid %d: remove it", path, uid)
	}
	if err := os.Chmod(path, 0o700); err != nil {
		return "", err
	}
	return path, o.give(path)
}
