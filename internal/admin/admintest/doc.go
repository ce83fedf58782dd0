// Package admintest tests the operator API over sockets with the generated client. It stands apart from the API's own
// package, whose tests write the document that the client is made from.
package admintest
