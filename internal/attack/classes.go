package main

import (
	"context"
	"time"
)

// class is one kind of attack, on tenant A.
type class struct {
	name, what string
	clients    int // how many are played
	short      int // how many in the short form; 0: none
	// prepare, if there is one, readies what the attack needs; it is no part of it.
	prepare func(f *field, ctx context.Context) error
	// asks, if there is one, is what the neighbour does beside its ordinary calls: what the class is after.
	asks func(f *field, ctx context.Context) error
	only bool // played alone, the neighbour does nothing else
	// start begins the attack with so many clients, which go on until the load is closed.
	start func(ctx context.Context, f *field, clients int) (*load, error)

	// What must hold. Tolerances are wide: a broken bound is broken by far.
	gone   time.Duration // after it the server has closed what this class opened; 0: it need not
	grow   int64         // MiB that the server's memory may grow by at the most; 0: as much as usual
	slower float64       // how many times slower the neighbour may become; 0: as much as usual
}

// classes are played in this order.
var classes = []class{
	heldBodies, drippedBodies, slowHeads, idleConnections,
	slowAnswers, slowArchives,
	streams, imports, signIns, reservedKeys, pictures, documents, slowServices,
}

const (
	usualGrowth = 200 // MiB
	usualSlower = 20
	// quickest is what a neighbour's time counts as at the least, in ms: on a busy machine less means nothing.
	quickest = 25
)
