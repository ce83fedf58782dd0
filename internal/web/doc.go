// Package web is the face that people see: the frame that pages stand in. It knows who looks (their browser, the accounts
// that are signed in on it, their language), takes forms that were really sent from its own pages, puts a page into the
// layout and the tenant's looks, and sends it with the headers that keep others out. The pages themselves are rooms beside
// it: sign-in, account.
//
// A page is a file of html/template that defines "title" and "main"; see [ParsePages]. It works without script: a form is
// posted, and the answer is a redirection to a page (303) or the page again with what is wrong. Texts are in
// lang/TAG/ROOM.json, a file for each room in each language.
package web
