// Package compose holds the compose file against the schema of the Compose Specification, by the library of docker compose.
package compose

import (
	"path/filepath"
	"testing"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
)

func TestCompose(t *testing.T) {
	file, err := filepath.Abs("../../docker/compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	p, err := loader.LoadWithContext(t.Context(), types.ConfigDetails{
		WorkingDir: filepath.Dir(file), ConfigFiles: []types.ConfigFile{{Filename: file}}, Environment: types.Mapping{"LOCUS_HOSTNAME": "pds.example.com"},
	}, loader.WithProfiles(nil))
	if err != nil {
		t.Fatal(err)
	}
	if p.Name != "locus" || len(p.Services) != 3 {
		t.Fatalf("project %s with %d services", p.Name, len(p.Services))
	}
	s := p.Services["locus"]
	if !s.ReadOnly || len(s.CapDrop) != 1 || s.CapDrop[0] != "ALL" {
		t.Errorf("the server may do too much: read-only %v, without %v", s.ReadOnly, s.CapDrop)
	}
	if got := filepath.Join(s.Build.Context, s.Build.Dockerfile); got != filepath.Join(filepath.Dir(file), "Dockerfile") {
		t.Errorf("built by %s", got)
	}
	if on := s.DependsOn["postgres"]; on.Condition != types.ServiceConditionHealthy || p.Services["postgres"].HealthCheck == nil {
		t.Errorf("the server starts before its database: %+v", on)
	}
	for _, secret := range s.Secrets {
		if _, ok := p.Secrets[secret.Source]; !ok {
			t.Errorf("the secret %s is not there", secret.Source)
		}
	}
	for _, v := range p.Services["caddy"].Volumes {
		if v.Type == types.VolumeTypeBind {
			if found, err := filepath.Glob(v.Source); err != nil || len(found) != 1 {
				t.Errorf("%s is not there: %v", v.Source, err)
			}
		}
	}
}
