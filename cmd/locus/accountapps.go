package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"text/tabwriter"
	"time"
)

type accountAppsCmd struct {
	accountArgs
	End    string `xor:"what" placeholder:"CLIENT_ID" help:"End the sessions of the app with this client_id: its tokens are good for nothing at once, and it has to ask again."`
	EndAll bool   `xor:"what" help:"End the sessions of all apps."`
}

// appReport is a line of 'account apps'.
type appReport struct {
	ClientID string    `json:"clientId"`
	Name     string    `json:"name"` // by its own word
	Scope    string    `json:"scope"`
	Since    time.Time `json:"since"`
	LastUsed time.Time `json:"lastUsed"`
	Expires  time.Time `json:"expires"`
}

// Run lists the apps of an account, the last used first, or ends what they may do.
func (c *accountAppsCmd) Run(ctx context.Context, log *slog.Logger) error {
	a, t, who, stop, err := c.account(ctx, log)
	if err != nil {
		return err
	}
	defer stop()
	if c.EndAll || c.End != "" {
		n, err := a.acts.DisconnectApps(ctx, t, byCommand(), who, c.End)
		if err == nil {
			fmt.Printf("sessions ended: %d\n", n)
		}
		return err
	}
	apps, err := a.acts.ListApps(ctx, t, who.AID, nil)
	if err != nil {
		return err
	}
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	defer out.Flush()
	for _, app := range apps {
		r := appReport{app.ClientID, app.Name, app.Granted, app.Since.UTC(), app.LastUsed.UTC(), app.Expires.UTC()}
		if c.JSON {
			if err := printJSONLine(r); err != nil {
				return err
			}
			continue
		}
		fmt.Fprintf(out, "%s\tsince %s\tused %s\t%s\n", r.ClientID, r.Since.Format(time.DateOnly), r.LastUsed.Format(time.DateOnly), r.Scope)
	}
	return nil
}
