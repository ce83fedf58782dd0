package main

import (
	"fmt"
	"strconv"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/internal/tenant"
)

// poolFlags say how many connections a serving process has to each Postgres. What is 0 follows from the machine's cores.
type poolFlags struct {
	SubPools    int    `name:"database-pools" placeholder:"N" help:"Pools that tenants are spread over, so that a connection knows the tables and plans of a part of them only; default: 4, on more than 8 cores one for every two, at most 16." env:"LOCUS_DATABASE_POOLS"`
	PoolConns   int    `name:"database-pool-connections" placeholder:"N" help:"Connections of each of these pools. One tenant may use them all; then two more are opened, for other tenants and for its own reads; default: 2 for every core in all, at least 2 each." env:"LOCUS_DATABASE_POOL_CONNECTIONS"`
	StreamConns int    `name:"database-stream-connections" placeholder:"N" help:"Connections for exports and other long reads; default: 2 for every core, at least 4, and one." env:"LOCUS_DATABASE_STREAM_CONNECTIONS"`
	PlanMemory  int    `name:"database-plan-memory" placeholder:"MIB" help:"Memory of Postgres that the plans of one connection of these pools may take, about; with many tenants, less of it means more planning; default: ${default}." default:"512" env:"LOCUS_DATABASE_PLAN_MEMORY"`
	Spares      string `name:"spare-schemas" placeholder:"N" help:"Empty schemas that are made ahead in each database, so that a new tenant is served at once and does not cost all connections their plans; auto: one for every 50 tenants there, from 200 tenants on, at most 64; default: ${default}." default:"auto" env:"LOCUS_SPARE_SCHEMAS"`
}

const (
	mostPools     = 256
	mostPoolConns = 1000
	// planSize is about what a prepared statement with its plan takes in Postgres.
	planSize = 32 << 10
	// leastPlanMemory is enough for the statements of a few tenants.
	leastPlanMemory, mostPlanMemory = 8, 1 << 14
)

// spares is how many schemas are made ahead.
func (f poolFlags) spares() (int, error) {
	if f.Spares == "auto" {
		return tenant.SparesByTenants, nil
	}
	n, err := strconv.Atoi(f.Spares)
	if err != nil || n < 0 || n > tenant.MostSpares {
		return 0, fmt.Errorf("--spare-schemas or LOCUS_SPARE_SCHEMAS must be auto, or from 0 to %d", tenant.MostSpares)
	}
	return n, nil
}

// sizes are the flags as db has them.
func (f poolFlags) sizes() (db.Sizes, error) {
	for _, n := range []struct {
		flag      string
		got, most int
	}{
		{"--database-pools or LOCUS_DATABASE_POOLS", f.SubPools, mostPools},
		{"--database-pool-connections or LOCUS_DATABASE_POOL_CONNECTIONS", f.PoolConns, mostPoolConns},
		{"--database-stream-connections or LOCUS_DATABASE_STREAM_CONNECTIONS", f.StreamConns, mostPoolConns},
	} {
		if n.got < 0 || n.got > n.most {
			return db.Sizes{}, fmt.Errorf("%s must be from 1 to %d, or be left out", n.flag, n.most)
		}
	}
	if f.StreamConns == 1 {
		return db.Sizes{}, fmt.Errorf("--database-stream-connections or LOCUS_DATABASE_STREAM_CONNECTIONS must be at least 2: no tenant has the last one")
	}
	if f.PlanMemory < leastPlanMemory || f.PlanMemory > mostPlanMemory {
		return db.Sizes{}, fmt.Errorf("--database-plan-memory or LOCUS_DATABASE_PLAN_MEMORY must be from %d to %d", leastPlanMemory, mostPlanMemory)
	}
	return db.Sizes{
		SubPools: f.SubPools, PoolConns: f.PoolConns, StreamConns: f.StreamConns,
		Statements: f.PlanMemory << 20 / planSize,
	}, nil
}
