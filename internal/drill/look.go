package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"path/filepath"

	"github.com/jackc/pgx/v5"

	"github.com/auroralocus/locus/db/embedded"
)

// schemaOf reads the schema's name from what 'tenant show --json' prints.
func schemaOf(text string) string {
	var t struct{ Schema string }
	_ = json.Unmarshal([]byte(text), &t) // the statement with "" fails
	return t.Schema
}

// document gives the server that the directory has for a DID.
func (d *drill) document(ctx context.Context, did string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.plc+"/"+did+"/data", nil)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	var data struct {
		Services map[string]struct{ Endpoint string }
	}
	err = json.NewDecoder(resp.Body).Decode(&data)
	return data.Services["atproto_pds"].Endpoint, err
}

// nothingLeft looks for what a deleted tenant could have left in both databases and in the folder of files.
func (d *drill) nothingLeft(ctx context.Context, schema string) error {
	for _, server := range []*embedded.Server{d.first.Server, d.second.Server} {
		c, err := pgx.Connect(ctx, server.URL)
		if err != nil {
			return err
		}
		var n int
		err = c.QueryRow(ctx, "SELECT count(*) FROM pg_namespace WHERE nspname LIKE '%' || $1", schema).Scan(&n)
		c.Close(ctx)
		if err != nil {
			return err
		}
		if n > 0 {
			return fmt.Errorf("%d schemas of the tenant are left", n)
		}
	}
	return filepath.WalkDir(d.path("blobs"), func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() && e.Name() != "" && filepath.Base(filepath.Dir(path)) == schema {
			return fmt.Errorf("a file is left: %s", path)
		}
		return nil // the folder may not even be there
	})
}
