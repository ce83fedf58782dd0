package tenant

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/controldb"
)

// Deployment is what is true of all processes and commands that work on one database. It is written at the first start.
type Deployment struct {
	// Development: known passwords, names that are not public, no limits of calls. Nothing that others use.
	Development bool
	// Scheme and Port make the public URLs, as in [Config].
	Scheme string
	Port   int
	// PLCURL is the directory that the accounts' DIDs are in; empty: the built-in one of a development server.
	PLCURL string
}

// ErrBadDeployment: these facts cannot be true together.
var ErrBadDeployment = errors.New("impossible deployment")

// Check tells what is wrong with d.
func (d Deployment) Check() error {
	switch {
	case d.Scheme != "http" && d.Scheme != "https":
		return fmt.Errorf("%w: the scheme is http or https, not %.20q", ErrBadDeployment, d.Scheme)
	case d.Port < 0 || d.Port > 65535:
		return fmt.Errorf("%w: there is no port %d", ErrBadDeployment, d.Port)
	case d.PLCURL == "" && !d.Development:
		return fmt.Errorf("%w: the built-in PLC directory is for development: others cannot find a DID in it", ErrBadDeployment)
	}
	return nil
}

// Config is what the deployment says about its tenants. names also allows names that are not public.
func (d Deployment) Config(names bool) Config {
	return Config{Scheme: d.Scheme, Port: d.Port, Dev: d.Development, Names: names}
}

// ReadDeployment gives what the database says of itself; found is false where nothing has been written yet.
func ReadDeployment(ctx context.Context, d *db.DB) (_ Deployment, found bool, err error) {
	row, err := d.Control().GetDeployment(ctx)
	switch {
	case db.IsNoRows(err), db.IsUndefined(err): // a new database, or one of an older version
		return Deployment{}, false, nil
	case err != nil:
		return Deployment{}, false, fmt.Errorf("read the deployment's facts: %w", err)
	}
	return Deployment{row.Development, row.Scheme, int(row.Port), row.PlcUrl}, true, nil
}

// NoteDeployment writes the facts if there are none, and returns those that count: of two first starts at once one
// wins.
func NoteDeployment(ctx context.Context, d *db.DB, facts Deployment, now time.Time) (Deployment, error) {
	if err := facts.Check(); err != nil {
		return Deployment{}, err
	}
	_, err := d.Control().InsertDeployment(ctx, controldb.InsertDeploymentParams{
		Development: facts.Development, Scheme: facts.Scheme, Port: int32(facts.Port), PlcUrl: facts.PLCURL, ChangedAt: now.UTC(),
	})
	if err != nil {
		return Deployment{}, fmt.Errorf("write the deployment's facts: %w", err)
	}
	noted, _, err := ReadDeployment(ctx, d)
	return noted, err
}

// SetDeployment replaces the facts. Processes that run go on with what they read at their start.
func SetDeployment(ctx context.Context, d *db.DB, facts Deployment, now time.Time) error {
	if noted, err := NoteDeployment(ctx, d, facts, now); err != nil || noted == facts {
		return err
	}
	_, err := d.Control().UpdateDeployment(ctx, controldb.UpdateDeploymentParams{
		Development: facts.Development, Scheme: facts.Scheme, Port: int32(facts.Port), PlcUrl: facts.PLCURL, ChangedAt: now.UTC(),
	})
	if err != nil {
		return fmt.Errorf("write the deployment's facts: %w", err)
	}
	return nil
}

// Traces are what can be told of a database in which no deployment is written, such as one of an older version.
type Traces struct {
	Tenants int
	NotDev  int // of them, those whose names are public
	Port    int // in the first one's service DID; 0: none
}

// ReadTraces looks at the tenants' names.
func ReadTraces(ctx context.Context, d *db.DB) (out Traces, err error) {
	for after := int64(-1); ; {
		page, err := d.Control().ListTenantTraces(ctx, controldb.ListTenantTracesParams{After: after, MaxRows: tenantPage})
		switch {
		case db.IsUndefined(err):
			return Traces{}, nil
		case err != nil:
			return Traces{}, fmt.Errorf("list tenants: %w", err)
		case len(page) == 0:
			return out, nil
		}
		for _, row := range page {
			after = row.TenantID
			if out.Tenants++; out.Tenants == 1 {
				_, port, _ := strings.Cut(row.ServiceDID, "%3A")
				out.Port, _ = strconv.Atoi(port) // 0 where there is none
			}
			if tld := row.Hostname[strings.LastIndexByte(row.Hostname, '.')+1:]; tld != "localhost" && tld != "test" {
				out.NotDev++
			}
		}
	}
}
