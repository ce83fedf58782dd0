// Package signin is the pages on which people sign in, open an account and say yes or no to an app.
//
// Somebody comes on an errand: to answer an app's request (/oauth/authorize), or to reach a page of their account
// (/account/sign-in). What comes next is decided in one place, [Errand.Next], from what the errand asks, who is signed in
// in this browser, and what was said last. Each step is a page with a form; the form is posted to the address of the
// errand, and the answer is a redirection to the next step, or the page again with what is wrong. Between two steps
// nothing is kept here: who is signed in is in the browser's device (package device), and a password that waits for its
// second factor is a slip that the browser brings back (act.WriteSlip). docs/sign-in.md tells the way for people.
package signin
