// Package plcdir is the PLC directory of development mode: it runs inside the server, keeps its log in Postgres
// (control.plc_operation), accepts and refuses what plc.directory does, and shows the same HTTP face, so that any
// client can be pointed at it.
//
// It is split like the rest of the house: validate.go decides about one operation and knows neither database nor clock,
// directory.go stores, http.go translates.
package plcdir
