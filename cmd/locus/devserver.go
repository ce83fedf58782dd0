package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/auroralocus/locus/internal/tenant"
)

// devServer is what a development server leaves in its data folder, beside the private Postgres: how its tenants are
// reached and where their DIDs are. Commands on the folder go by it, or they would name another address in an account's
// DID, and register that with the public directory.
type devServer struct {
	Port   int    `json:"port"`
	PLCURL string `json:"plcUrl,omitzero"` // empty: the built-in directory
}

func (f dataFlags) devFile() string { return filepath.Join(f.DataDir, "development.json") }

// devServer gives the zero value where there is none. A database elsewhere has nothing to do with the folder.
func (f dataFlags) devServer() (d devServer, err error) {
	if f.DatabaseURL != "" {
		return d, nil
	}
	text, err := os.ReadFile(f.devFile())
	if errors.Is(err, fs.ErrNotExist) {
		return d, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &d)
	}
	if err != nil {
		return d, fmt.Errorf("%s, which 'locus serve' writes anew: %w", f.devFile(), err)
	}
	return d, nil
}

// writeDevServer notes what serves the folder from now on; the zero value: no development server.
func (f dataFlags) writeDevServer(d devServer) error {
	if f.DatabaseURL != "" {
		return nil
	}
	if d == (devServer{}) {
		if err := os.Remove(f.devFile()); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	text, err := json.Marshal(d)
	if err != nil {
		return err
	}
	part := f.devFile() + ".part" // a command never reads half of it
	if err := os.WriteFile(part, text, 0o600); err != nil {
		return err
	}
	return os.Rename(part, f.devFile())
}

// of is how the tenants are reached: as the flags say, or as the development server in the data folder does.
func (f originFlags) of(data dataFlags) (tenant.Config, devServer, error) {
	d, err := data.devServer()
	if err != nil || d == (devServer{}) {
		return f.config(), d, err
	}
	c := tenant.Config{Scheme: "http", Port: d.Port, Dev: true}
	if f.PublicPort != 0 {
		c.Scheme, c.Port = f.PublicScheme, f.PublicPort
	}
	return c, d, nil
}
