// Package grafana holds the dashboard against Grafana's own schema, by the types that Grafana makes from it.
package grafana

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// strictly takes no field that the schema does not have, of panels, their queries and their settings either.
func strictly(text []byte) (d dashboard.Dashboard, err error) {
	err = d.UnmarshalJSONStrict(text)
	var all cog.BuildErrors
	if errors.As(err, &all) && len(all) == 0 {
		err = nil
	}
	if err != nil {
		return d, err
	}
	// The queries of a panel it takes as they come: it has not read yet whose they are.
	var raw struct {
		Panels []struct {
			Datasource struct{ Type string }
			Targets    []json.RawMessage
		}
	}
	if err := json.Unmarshal(text, &raw); err != nil {
		return d, err
	}
	for _, p := range raw.Panels {
		for _, query := range p.Targets {
			_, err := cog.StrictUnmarshalDataquery(query, p.Datasource.Type)
			if errors.As(err, &all) && len(all) > 0 || err != nil && !errors.As(err, &all) {
				return d, fmt.Errorf("%s: %w", query, err)
			}
		}
	}
	return d, nil
}

func TestDashboard(t *testing.T) {
	plugins.RegisterDefaultPlugins()
	text, err := os.ReadFile("../../grafana/locus.json")
	if err != nil {
		t.Fatal(err)
	}
	d, err := strictly(text)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Validate(); err != nil {
		t.Error(err)
	}
	if len(d.Panels) < 20 {
		t.Errorf("%d panels", len(d.Panels))
	}
	for _, field := range []string{`"schemaVersion"`, `"gridPos"`, `"legendFormat"`, `"expr"`, `"multi"`} {
		if _, err := strictly(bytes.Replace(text, []byte(field), []byte(`"unheardOf"`), 1)); err == nil {
			t.Errorf("a dashboard is taken that says unheardOf instead of %s", field)
		}
	}
}
