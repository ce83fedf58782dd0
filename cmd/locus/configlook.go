package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/internal/blob"
	"github.com/auroralocus/locus/internal/certs"
	"github.com/auroralocus/locus/internal/outbound"
)

// refusals are what a start would end with later than by its flags, all of them, as far as settings alone tell: nothing is
// connected to, made or run.
func (c *serveCmd) refusals() (found []error) {
	look := func(err error) {
		if err != nil {
			found = append(found, err)
		}
	}
	for _, l := range []struct{ flag, addr string }{
		{"listen", c.Listen}, {"https-listen", c.HTTPSListen}, {"http-listen", c.HTTPListen}, {"admin-listen", c.AdminListen},
		{"operator-listen", ofLoopbackIfSaid(c.Operators)}, {"debug-listen", c.DebugListen},
	} {
		look(says(l.flag, checkListen(l.addr)))
	}
	_, err := c.database(db.Config{})
	look(err)
	if c.MasterKey == "" && c.KeyCommand == "" { // one that is given was looked at with the database; a program is not run
		if _, err := c.given(context.Background()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			look(fmt.Errorf("master key: %w", err))
		}
	}
	look(says("blob-store", checkStore(c.BlobStore, c.blobs().Stores.S3)))
	_, err = c.mailFlags.config(c.Dev)
	look(err)
	_, err = c.services(c.Dev)
	look(err)
	_, err = outbound.ParsePrivate(c.PrivateHosts)
	look(says("private-hosts", err))
	if len(c.Cert) > 0 {
		pairs := make([]certs.Pair, len(c.Cert))
		for i := range pairs {
			pairs[i] = certs.Pair{Certificate: c.Cert[i], Key: c.Key[i]}
		}
		_, err = certs.OpenFiles(pairs, slog.New(slog.DiscardHandler))
		look(says("tls-cert", err))
	}
	return found
}

// says puts the names of a setting before what is wrong with it.
func says(flag string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("--%s or %s: %w", flag, envOf(flag), err)
}

// ofLoopbackIfSaid leaves a listener that is off as it is.
func ofLoopbackIfSaid(addr string) string {
	if addr == "" {
		return ""
	}
	return ofLoopback(addr)
}

// checkListen refuses what is no address to listen on; "" is off. A name in it is not resolved.
func checkListen(addr string) error {
	if addr == "" {
		return nil
	}
	_, port, err := net.SplitHostPort(addr)
	if err == nil {
		_, err = net.LookupPort("tcp", port)
	}
	return err
}

// checkStore refuses what is no place for files, and a bucket without keys.
func checkStore(location string, keys blob.Credentials) error {
	if err := blob.CheckLocation(location); err != nil {
		return err
	}
	if strings.HasPrefix(location, "s3:") && (keys.AccessKey == "" || keys.SecretKey == "") {
		return errors.New("a bucket needs s3-access-key and s3-secret-key (LOCUS_S3_ACCESS_KEY, LOCUS_S3_SECRET_KEY)")
	}
	return nil
}

// exposed warns of files with secrets that everybody on the machine can read: the configuration itself, and files that it
// or the environment names.
func (c *configured) exposed(all map[string]setting) (warnings []string) {
	for _, env := range slices.Sorted(maps.Keys(c.values)) {
		if !all[env].secret() || shown(all[env], c.values[env]) == c.values[env] {
			continue
		}
		key := all[env].key()
		switch path := c.files[env]; {
		case path != "" && open(path):
			warnings = append(warnings, fmt.Sprintf("%s holds a secret (%s) and everybody on this machine can read it: chmod o-r", path, key))
		case path == "" && c.path != "" && c.from[env] == c.path && open(c.path):
			warnings = append(warnings, fmt.Sprintf("%s holds a secret (%s) and everybody on this machine can read it: chmod o-r, or put the value into a file of its own and name that by %s-file", c.path, key, key))
		}
	}
	return warnings
}

// open tells that everybody may read a file.
func open(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o004 != 0
}

// links are the variables by which Kubernetes and Docker tell of a service of the name locus.
var links = regexp.MustCompile(`_SERVICE_(HOST|PORT)|_PORT(_\d+_(TCP|UDP)(_\w+)?)?$|_ENV_|_NAME$`)

// misspelt warns of variables in the environment that begin as settings do and are none. Unlike the names in a file they
// stop nothing: other programs have theirs.
func (c *configured) misspelt(all map[string]setting) (warnings []string) {
	for _, name := range c.others {
		if links.MatchString(name) || strings.HasPrefix(name, "LOCUS_TEST_") {
			continue
		}
		hint := ""
		if near := nearest(all, setting{env: name}.key()); near != "" {
			hint = fmt.Sprintf(" (is %s meant?)", envOf(near))
		}
		warnings = append(warnings, fmt.Sprintf("%s in the environment is no setting, and is not looked at%s", name, hint))
	}
	return warnings
}
