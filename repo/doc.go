// Package repo is a repository as a value: Apply takes a head, writes and a way to read tree nodes, and returns the
// signed commit with everything that has to be stored and sent. It knows no database, no network and no clock.
//
// spec: repository#commit-objects, sync#commit-events
package repo
