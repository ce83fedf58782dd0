package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// leave upgrades the package, where the same one stands for a newer one, and takes it away again.
func (w *world) leave(ctx context.Context, c *clock, deb string) error {
	client := w.client()
	defer client.CloseIdleConnections()
	before, err := w.command(ctx, "root", "systemctl show --property=MainPID --value locus").Output()
	if err != nil {
		return fmt.Errorf("ask for the service: %w", err)
	}
	if err := c.step("an upgrade of the package, and the service again", func() error {
		if err := w.operator(ctx, "sudo apt install --reinstall ./"+filepath.Base(deb)); err != nil {
			return err
		}
		_, err := get(ctx, client, "https://pds.example.com/xrpc/_health")
		return err
	}); err != nil {
		return err
	}
	after, err := w.command(ctx, "root", "systemctl show --property=MainPID --value locus").Output()
	if err != nil {
		return fmt.Errorf("ask for the service: %w", err)
	}
	if string(after) == string(before) {
		return errors.New("the upgrade left the old program running")
	}
	return c.step("the package is removed, and what it kept stays", func() error {
		if err := w.operator(ctx, "sudo apt remove locus"); err != nil {
			return err
		}
		if _, err := get(ctx, client, "https://pds.example.com/xrpc/_health"); err == nil {
			return errors.New("it still serves")
		}
		_, err := os.Stat(filepath.Join(w.root, "var/lib/locus/master.key"))
		return err
	})
}
