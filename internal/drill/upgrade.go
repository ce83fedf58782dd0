package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
)

// next is a migration as a later version may have it.
const next = "-- +goose Up\nALTER TABLE pds_tenant.actor ADD COLUMN of_the_next_version int NOT NULL DEFAULT 0;\n\n-- +goose Down\nALTER TABLE pds_tenant.actor DROP COLUMN of_the_next_version;\n"

// buildNext builds the server as a next version: with one migration more.
func (w *world) buildNext(ctx context.Context) (program string, err error) {
	files, err := filepath.Glob("schema/tenant/*.sql")
	if err != nil || len(files) == 0 {
		return "", errors.Join(err, errors.New("run this in the repository's folder"))
	}
	slices.Sort(files)
	var last int
	if _, err := fmt.Sscanf(filepath.Base(files[len(files)-1]), "%05d_", &last); err != nil {
		return "", err
	}
	place, err := filepath.Abs(fmt.Sprintf("schema/tenant/%05d_next.sql", last+1))
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(w.path("next.sql"), []byte(next), 0o600); err != nil {
		return "", err
	}
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {place: w.path("next.sql")}})
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(w.path("overlay.json"), overlay, 0o600); err != nil {
		return "", err
	}
	program = w.path("locus-next")
	out, err := exec.CommandContext(ctx, "go", "build", "-overlay", w.path("overlay.json"), "-o", program, "./cmd/locus").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build the next version: %w\n%s", err, out)
	}
	return program, nil
}

// upgrade starts processes of the next version beside the others, and ends these one by one. Nobody may notice.
func (d *drill) upgrade(ctx context.Context) (err error) {
	troubles := d.troubles()
	before := d.nodes
	if d.locus, err = d.buildNext(ctx); err != nil {
		return err
	}
	for range before {
		if err := d.startNode(ctx); err != nil {
			return err
		}
	}
	if err := d.some(ctx, 100); err != nil { // both versions serve
		return err
	}
	if _, err := d.command(ctx, "migrate", "--status"); err != nil {
		if err = until(ctx, "tenants are migrated", func() (bool, error) { _, err := d.command(ctx, "migrate", "--status"); return err == nil, nil }); err != nil {
			return err
		}
	}
	for _, old := range before {
		d.nodes = slices.DeleteFunc(slices.Clone(d.nodes), func(n *node) bool { return n == old })
		d.balance()
		if err := d.some(ctx, 20); err != nil { // the balancer has sent nothing to it since
			return err
		}
		old.stop()
	}
	if err := d.some(ctx, 50); err != nil {
		return err
	}
	if now := d.troubles(); now != troubles {
		return fmt.Errorf("%d writes failed while it was upgraded: %v", now-troubles, d.refusals.by)
	}
	return nil
}

// troubles is how many writes were not acknowledged.
func (d *drill) troubles() int64 {
	d.refusals.Lock()
	defer d.refusals.Unlock()
	n := d.doubted.Load()
	for _, m := range d.refusals.by {
		n += int64(m)
	}
	return n
}
