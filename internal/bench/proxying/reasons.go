package main

// Patterns of what a request's call is made of, and its answer.
var (
	everything = []string{"calls", "call1.*", "call2.*", "answer.*"}
	refused    = []string{"answer.status", "answer.error", "answer.message"}
)

// reasons are why ours differs; docs/compatibility.md tells them to those who write clients.
var reasons = []reason{
	// ---- of all answers
	{[]string{"*"}, []string{"answer.header.x-powered-by", "answer.header.etag", "answer.header.x-content-type-options"}, "",
		"the reference's web framework adds two headers, and ours one that keeps browsers from guessing"},
	{[]string{"*"}, []string{"answer.header.vary", "answer.header.content-encoding", "answer.header.content-length"}, "",
		"the reference packs what the service did not pack, and then knows no length; here an answer is passed on as it comes, with its length"},
	{[]string{"*"}, []string{"answer.header.dpop-nonce"}, "", "every answer has a nonce for the next proof of possession, also those of other services"},
	{[]string{"*"}, []string{"answer.header.access-control-*"}, "", "more may be read by pages, and the list of verbs is in another order"},
	{[]string{"*"}, []string{"call1.header.connection", "call2.header.connection"}, "", "connections are kept without saying so"},

	// ---- what the service sees
	{[]string{"report*", "push*", "feed*"}, []string{"call1.header.accept", "call1.header.accept-encoding", "call1.header.accept-language", "call1.header.sec-fetch-mode", "call1.header.user-agent"}, "",
		"these calls the reference makes with fetch(), which has headers of its own"},
	{[]string{"report, labelers"}, []string{"call1.header.accept-language", "call1.header.atproto-accept-labelers", "call1.header.x-atproto-a"}, "",
		"a report is a call like others: what the client said goes with it"},
	{[]string{"feed*"}, []string{"call1.target"}, "/xrpc/com.atproto.repo.getRecord?*", "the same parameters in another order"},
	{[]string{"feed with header"}, everything, "", "who makes a feed is remembered for a minute: the second call does not ask again"},
	{[]string{"post chunked"}, []string{"call1.header.content-length", "call1.header.transfer-encoding"}, "", "a body without a length is passed on without one, as it comes"},
	{[]string{"timeline*", "feed.*", "actor.*", "preferences elsewhere"}, []string{"call1.header.accept-encoding"}, "", "the same is offered in other words"},
	{[]string{"feed"}, []string{"call2.header.accept-encoding"}, "", "the same is offered in other words"},
	{[]string{"timeline parameters", "profile without actor", "timeline post"}, everything, "", "the service judges its own parameters and verbs"},
	{[]string{"empty values"}, []string{"call1.header.accept-encoding"}, "", "an empty header is passed on as it is; it means the same as identity"},

	// ---- who may
	{[]string{"*called by taken down later", "report by taken down later"}, everything, "", "whether the account is taken down is looked at on each call, not only in the token"},
	{[]string{"newer chat method by app password"}, everything, "", "all of chat.bsky takes the main password or a privileged app password, not only the methods of an old list"},
	{[]string{"protected *", "stranger and protected"}, append(refused, "answer.header.cache-control"), "", "protected methods are refused in any letters before anything else; the reference's router does not look at letters either and calls its own method"},
	{[]string{"path *"}, everything, "", "only a method's name is a path here"},
	{[]string{"preferences put elsewhere"}, everything, "", "the reference means to hand it on, and breaks"},

	// ---- which service
	{[]string{"moderators', another"}, []string{"call1.token.aud"}, "did:web:mod.test", "all of tools.ozone goes to the moderation service, not only the methods of an old list"},
	{[]string{"service *"}, append(refused, "answer.header.cache-control"), "", "a DID that cannot be read or found is the caller's mistake, 400, and the text says which; the reference breaks on some"},
	{[]string{"push to nobody", "push invalid", "report invalid", "report not json", "feed without feed"}, append(refused, "answer.header.cache-control"), "", "texts of InvalidRequest are our own"},
	{[]string{"report by "}, []string{"answer.header.cache-control"}, "", "who calls nobody has nothing to keep"},

	// ---- answers of the service
	{[]string{"*answer cut", "*answer cut-chunked"}, append(refused, "answer.end"), "", "a short answer is read whole before anything is passed on: that it was cut can still be said"},
	{[]string{"answer e400-large", "answer e400-cut"}, refused, "", "an error that is too long or cut keeps its status"},
	{[]string{"*answer e429", "answer e503", "answer e400-headers"}, []string{"answer.header.retry-after", "answer.header.atproto-repo-rev", "answer.header.atproto-content-labelers"}, "", "errors keep the headers that answers keep: clients wait as long as the service says"},
	{[]string{"answer e401"}, []string{"answer.error"}, "", "ExpiredToken would make clients refresh a session that is good"},
	{[]string{"answer twice"}, []string{"answer.header.atproto-content-labelers"}, "", "the same list with a space"},
	{[]string{"report, no answer", "report, failed", "report, odd answer"}, refused, "", "reports fail as other calls do"},
	{[]string{"timeline answer moved", "timeline answer html"}, []string{"answer.status", "answer.header.content-type"}, "", "what is not JSON is passed on as it is, also where answers may be merged"},
	{[]string{"header on a method of ours"}, []string{"answer.body"}, "", "the same members in another order"},
}
