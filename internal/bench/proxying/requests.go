package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"strings"
)

// request is one that is sent to a server. In its texts {alice} is an account's DID, {own} the stand-in's.
type request struct {
	name    string
	as      string // whose token: a name of caller's; "" sends none
	verb    string // "" is GET
	path    string // with its query
	headers []string
	body    string
	chunked bool // the body comes without its length
	// more, if there is one, is what is done instead of one request.
	more func(context.Context, *server) (fields, error)
}

// The callers.
const (
	alice      = "alice"
	appPass    = "app password"
	privileged = "privileged app password"
	refresh    = "refresh token"
	carol      = "deactivated"
	dave       = "taken down later"
	daveAppeal = "taken down"
	broken     = "broken token"
)

// plain is a method that no server has, and that is proxied without further ado.
const plain = "/xrpc/app.bsky.graph.getFollows?actor={alice}"

const (
	jsonType = "Content-Type: application/json"
	labelers = "Atproto-Accept-Labelers: did:plc:ar7c4by46qjdydhdevvrndac;redact, did:web:label.test"
)

// service names a service in the header.
func service(reference string) string { return "Atproto-Proxy: " + reference }

// answered is a call for whose answer the stand-in is told what to say.
func answered(as, answer string) request {
	return request{name: "answer " + answer, as: as, path: "/xrpc/app.bsky.graph.getFollows?answer=" + answer}
}

// requests are all of them, in the order in which they are made.
func requests() []request {
	list := []request{
		{name: "get", as: alice, path: plain},
		{name: "head", as: alice, verb: "HEAD", path: plain},
		{name: "post json", as: alice, verb: "POST", path: "/xrpc/app.bsky.graph.muteActor", headers: []string{jsonType}, body: `{"actor": "{alice}" }`},
		{name: "post json, charset", as: alice, verb: "POST", path: "/xrpc/app.bsky.graph.muteActor", headers: []string{"Content-Type: Application/JSON; charset=utf-8"}, body: `{"a":"é"}`},
		{name: "post not json", as: alice, verb: "POST", path: "/xrpc/app.bsky.graph.muteActor", headers: []string{jsonType}, body: `{"actor":`},
		{name: "post binary", as: alice, verb: "POST", path: "/xrpc/app.bsky.video.uploadVideo?did={alice}&name=a.mp4", headers: []string{"Content-Type: video/mp4"}, body: strings.Repeat("\x00\xff", 50_000)},
		{name: "post gzip", as: alice, verb: "POST", path: "/xrpc/app.bsky.graph.muteActor", headers: []string{jsonType, "Content-Encoding: gzip"}, body: gzipped(`{"actor":"x"}`)},
		{name: "post chunked", as: alice, verb: "POST", path: "/xrpc/app.bsky.graph.muteActor", headers: []string{jsonType}, body: `{"actor":"chunked"}`, chunked: true},
		{name: "post nothing", as: alice, verb: "POST", path: "/xrpc/app.bsky.graph.unmuteActorList", headers: []string{"Content-Length: 0"}},
		{name: "post nothing, no length", as: alice, verb: "POST", path: "/xrpc/app.bsky.graph.unmuteActorList"},
		{name: "post untyped", as: alice, verb: "POST", path: "/xrpc/app.bsky.graph.muteActor", body: `{"actor":"x"}`},
		{name: "post with query", as: alice, verb: "POST", path: "/xrpc/app.bsky.graph.muteActor?a=1&a=2", headers: []string{jsonType}, body: "{}"},
		{name: "get with body", as: alice, path: plain, headers: []string{jsonType}, body: "{}"},
		{name: "query bytes", as: alice, path: "/xrpc/app.bsky.graph.getFollows?q=a%20b+c&x=%2F%2f&y[]=1&y[]=2&=&&z&%41=~!*'()"},
		{name: "query empty", as: alice, path: "/xrpc/app.bsky.graph.getFollows?"},
		{name: "query long", as: alice, path: "/xrpc/app.bsky.graph.getFollows?q=" + strings.Repeat("x", 6000)},
		{name: "names of one's own", as: alice, path: "/xrpc/com.example.things.getThing"},
		{name: "unknown com.atproto", as: alice, path: "/xrpc/com.atproto.thing.getThing"},
		{name: "letters of the method", as: alice, path: "/xrpc/App.Bsky.Graph.getFollows"},
	}
	list = append(list, headerRequests()...)
	list = append(list, targetRequests()...)
	list = append(list, callerRequests()...)
	list = append(list, methodRequests()...)
	for _, a := range answerNames {
		list = append(list, answered(alice, a))
	}
	for _, a := range mergedAnswers {
		r := answered(alice, a)
		r.name, r.path = "timeline "+r.name, strings.Replace(r.path, "graph.getFollows", "feed.getTimeline", 1)
		list = append(list, r)
	}
	for _, a := range []string{"json", "e400", "e500", "reset", "empty", "nothing", "cut", "headers"} {
		r := answered(alice, a)
		r.name, r.verb, r.path = "post "+r.name, "POST", strings.Replace(r.path, "getFollows", "muteActor", 1)
		r.headers, r.body = []string{jsonType}, "{}"
		list = append(list, r)
	}
	return append(list, request{name: "video", more: video})
}

var answerNames = strings.Fields(`json headers twice bytes chunked html untyped empty invalid gzip br created nothing partial moved unmodified
	large large-chunked cut cut-chunked reset garbage e400 e400-types e400-unnamed e400-nameonly e400-array e400-null e400-html e400-untyped
	e400-problem e400-broken e400-empty e400-gzip e400-badgzip e400-unknown e400-bomb e400-large e400-cut e400-headers e401 e401-auth e403 e404
	e404-html e405 e413 e418 e429 e500 e500-named e500-text e501 e502 e503 e504 e599`)

// mergedAnswers are tried where answers may be merged with what was just written, too.
var mergedAnswers = strings.Fields(`json upto headers html invalid gzip br chunked cut reset moved large e400 e400-gzip e404 e429 e500`)

// headerRequests are about headers of the client.
func headerRequests() []request {
	list := []request{
		{name: "headers to pass", as: alice, path: plain, headers: []string{
			"Accept-Language: de, en;q=0.5", labelers, "X-Bsky-Topics: a,b", "X-Atproto-Bsky-Topics: c", "x-atproto-anything: d", "X-ATPROTO-UPPER: e"}},
		{name: "headers to keep", as: alice, path: plain, headers: []string{
			"Cookie: a=1", "User-Agent: test/1", "X-Forwarded-For: 203.0.113.7", "Forwarded: for=203.0.113.7", "X-Real-IP: 203.0.113.7", "Origin: https://app.test", "Referer: https://app.test/x",
			"Accept: application/json", "Cache-Control: no-cache", "If-None-Match: \"x\"", "If-Modified-Since: Mon, 01 Jan 2024 00:00:00 GMT", "Range: bytes=0-1", "DPoP: x.y.z", "Via: 1.1 x",
			"X-Request-Id: 1", "Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "TE: trailers", "Priority: u=1", "X-Custom: 1", "Pragma: no-cache", "DNT: 1",
			"Sec-Fetch-Mode: cors", "Sec-Fetch-Site: cross-site", "Proxy-Authorization: Basic eDp5", "Content-Language: de", "Atproto-Content-Labelers: did:web:a.test", "Atproto-Repo-Rev: 3aaaaaaaaaa2a"}},
		{name: "content headers of a get", as: alice, path: plain, headers: []string{jsonType, "Content-Encoding: gzip"}},
		{name: "labelers twice", as: alice, path: plain, headers: []string{"Atproto-Accept-Labelers: did:web:a.test", "Atproto-Accept-Labelers: did:web:b.test", "Accept-Language: de", "Accept-Language: en"}},
		{name: "x-atproto twice", as: alice, path: plain, headers: []string{"X-Atproto-A: 1", "X-Atproto-A: 2", "X-Atproto-B: 3", "X-Bsky-Topics: a", "X-Bsky-Topics: b"}},
		{name: "empty values", as: alice, path: plain, headers: []string{"Accept-Language:", "Atproto-Accept-Labelers:", "X-Atproto-A:", "Accept-Encoding:"}},
		{name: "odd values", as: alice, path: plain, headers: []string{"Accept-Language:   de  ", "X-Atproto-A: a\tb", "Atproto-Accept-Labelers: \xc3\xa4"}},
		{name: "named by connection", as: alice, path: plain, headers: []string{"Connection: close, X-Atproto-A", "X-Atproto-A: 1"}},
		{name: "expect", as: alice, verb: "POST", path: "/xrpc/app.bsky.graph.muteActor", headers: []string{jsonType, "Expect: 100-continue"}, body: "{}"},
	}
	encodings := []string{"gzip", "br", "gzip, deflate, br", "identity", "*", "gzip;q=0.5, br;q=0.1", "identity;q=0", "*;q=0", "gzip;q=2", "gzip;q=0.5;x=1", "zstd", "GZIP", "gzip;q=0, identity;q=0", "br, *;q=0"}
	for _, e := range encodings {
		list = append(list, request{name: "accepts " + e, as: alice, path: plain, headers: []string{"Accept-Encoding: " + e}},
			request{name: "timeline accepts " + e, as: alice, path: "/xrpc/app.bsky.feed.getTimeline", headers: []string{"Accept-Encoding: " + e}})
	}
	return append(list, request{name: "post accepts gzip", as: alice, verb: "POST", path: "/xrpc/app.bsky.graph.muteActor", headers: []string{jsonType, "Accept-Encoding: gzip"}, body: "{}"})
}

// targetRequests are about which service is called.
func targetRequests() []request {
	var list []request
	header := func(name, value string) {
		list = append(list, request{name: "service " + name, as: alice, path: plain, headers: []string{service(value)}})
	}
	header("the app view", "did:web:view.test#bsky_appview")
	header("the app view, another id", "did:web:view.test#other")
	header("found by its document", "{own}#other")
	header("app view of a document", "{own}#bsky_appview")
	header("not listening", "{own}#gone")
	header("without such an entry", "{own}#nosuch")
	header("without did", "#bsky_appview")
	header("without id", "did:web:view.test")
	header("with an empty id", "did:web:view.test#")
	header("twice", "did:web:view.test#bsky_appview#x")
	header("with a space", "did:web:view.test#bsky appview")
	header("with a space before", "did:web:view.test #bsky_appview")
	header("nonsense", "nonsense")
	header("nonsense with id", "nonsense#x")
	header("of an unknown method", "did:foo:bar#x")
	header("unknown did:plc", "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa#x")
	header("malformed did:plc", "did:plc:short#x")
	header("malformed did:web", "did:web:#x")
	header("an account", "{alice}#atproto_pds")
	header("an account's unknown entry", "{alice}#nosuch")
	header("url", "https://view.test#x")
	header("empty", "")
	list = append(list,
		request{name: "chat without header", as: alice, path: "/xrpc/chat.bsky.convo.listConvos"},
		request{name: "chat with header", as: alice, path: "/xrpc/chat.bsky.convo.listConvos", headers: []string{service("{own}#bsky_chat")}},
		request{name: "moderators'", as: alice, path: "/xrpc/tools.ozone.moderation.queryEvents"},
		request{name: "moderators', another", as: alice, path: "/xrpc/tools.ozone.setting.listOptions"},
		request{name: "moderators' with header", as: alice, verb: "POST", path: "/xrpc/tools.ozone.moderation.emitEvent", headers: []string{jsonType, service("{own}#atproto_labeler")}, body: "{}"},
		request{name: "header on a method of ours", as: alice, path: "/xrpc/com.atproto.server.getSession", headers: []string{service("{own}#other")}},
		request{name: "post with header", as: alice, verb: "POST", path: "/xrpc/app.bsky.graph.muteActor", headers: []string{jsonType, service("{own}#other")}, body: "{}"},
		request{name: "timeline with header", as: alice, path: "/xrpc/app.bsky.feed.getTimeline", headers: []string{service("{own}#bsky_appview")}},
	)
	return list
}

// callerRequests are about who calls, and how.
func callerRequests() []request {
	list := []request{}
	for _, as := range []string{"", appPass, privileged, refresh, carol, dave, daveAppeal, broken} {
		list = append(list, request{name: "called by " + as, as: as, path: plain},
			request{name: "timeline called by " + as, as: as, path: "/xrpc/app.bsky.feed.getTimeline"},
			request{name: "chat called by " + as, as: as, path: "/xrpc/chat.bsky.convo.getConvo?convoId=x"},
			request{name: "report by " + as, as: as, verb: "POST", path: "/xrpc/com.atproto.moderation.createReport", headers: []string{jsonType}, body: report})
	}
	for _, verb := range []string{"PUT", "DELETE", "PATCH", "OPTIONS"} {
		list = append(list, request{name: "verb " + verb, as: alice, verb: verb, path: plain})
	}
	for _, path := range []string{"/xrpc/", "/xrpc/nonsense", "/xrpc/a.b", "/xrpc/app.bsky.graph.getFollows/", "/xrpc/app.bsky.graph.getFollows/x", "/xrpc/app.bsky.graph.1x", "/xrpc/app..x.y", "/xrpc/app.bsky.graph.get%46ollows", "/xrpc/app.bsky.graph.-x", "/xrpc/_private"} {
		list = append(list, request{name: "path " + path, as: alice, path: path})
	}
	for _, m := range []string{"com.atproto.server.GETSESSION", "com.atproto.identity.UpdateHandle", "COM.ATPROTO.admin.sendemail"} {
		list = append(list, request{name: "protected " + m, as: alice, verb: "POST", path: "/xrpc/" + m, headers: []string{jsonType}, body: "{}"})
	}
	return append(list,
		request{name: "newer chat method by app password", as: appPass, verb: "POST", path: "/xrpc/chat.bsky.convo.addReaction", headers: []string{jsonType}, body: "{}"},
		request{name: "chat in other letters by app password", as: appPass, path: "/xrpc/CHAT.bsky.convo.GETCONVO"},
		request{name: "stranger and protected", path: "/xrpc/com.atproto.server.GETSESSION"},
		request{name: "stranger and bad header", path: plain, headers: []string{service("nonsense")}},
		request{name: "stranger and preflight", verb: "OPTIONS", path: plain, headers: []string{"Origin: https://app.test", "Access-Control-Request-Method: GET", "Access-Control-Request-Headers: authorization,atproto-proxy"}},
	)
}

const report = `{"reasonType":"com.atproto.moderation.defs#reasonSpam","reason":"x","subject":{"$type":"com.atproto.admin.defs#repoRef","did":"{alice}"}}`

// methodRequests are the methods that are more than passed on.
func methodRequests() []request {
	to := func(name, method, body string, headers ...string) request {
		return request{name: name, as: alice, verb: "POST", path: "/xrpc/" + method, headers: append([]string{jsonType}, headers...), body: body}
	}
	const createReport, registerPush, unregisterPush = "com.atproto.moderation.createReport", "app.bsky.notification.registerPush", "app.bsky.notification.unregisterPush"
	push := func(did string) string {
		return `{"serviceDid":"` + did + `","token":"t","platform":"ios","appId":"xyz.app"}`
	}
	list := []request{
		to("report", createReport, report),
		to("report with header", createReport, report, service("{own}#atproto_labeler")),
		to("report, labelers", createReport, report, labelers, "Accept-Language: de", "X-Atproto-A: 1", "Cookie: a=1"),
		to("report invalid", createReport, `{"reasonType":1}`),
		to("report not json", createReport, `{`),
		to("report, refused", createReport, strings.Replace(report, `"x"`, `"answer e400"`, 1)),
		to("report, no answer", createReport, strings.Replace(report, `"x"`, `"answer reset"`, 1)),
		to("report, failed", createReport, strings.Replace(report, `"x"`, `"answer e500-text"`, 1)),
		to("report, odd answer", createReport, strings.Replace(report, `"x"`, `"answer json"`, 1)),
		to("push to the app view", registerPush, push("did:web:view.test")),
		to("push to another", registerPush, push("{own}")),
		to("push to nobody", registerPush, push("did:plc:aaaaaaaaaaaaaaaaaaaaaaaa")),
		to("push invalid", registerPush, `{"serviceDid":1}`),
		to("push with header", registerPush, push("{own}"), service("did:web:view.test#bsky_appview")),
		to("push no more", unregisterPush, push("{own}")),
		{name: "feed", as: alice, path: "/xrpc/app.bsky.feed.getFeed?feed=at://did:web:maker.test/app.bsky.feed.generator/feed&limit=3"},
		{name: "feed with header", as: alice, path: "/xrpc/app.bsky.feed.getFeed?feed=at://did:web:maker.test/app.bsky.feed.generator/feed&limit=2", headers: []string{service("{own}#bsky_appview")}},
		{name: "feed of nobody", as: alice, path: "/xrpc/app.bsky.feed.getFeed?feed=at://did:web:maker.test/app.bsky.feed.generator/none"},
		{name: "feed without feed", as: alice, path: "/xrpc/app.bsky.feed.getFeed"},
		{name: "preferences", as: alice, path: "/xrpc/app.bsky.actor.getPreferences"},
		{name: "preferences with header", as: alice, path: "/xrpc/app.bsky.actor.getPreferences", headers: []string{service("did:web:view.test#bsky_appview")}},
		{name: "preferences elsewhere", as: alice, path: "/xrpc/app.bsky.actor.getPreferences", headers: []string{service("{own}#other")}},
		to("preferences put", "app.bsky.actor.putPreferences", `{"preferences":[]}`),
		to("preferences put elsewhere", "app.bsky.actor.putPreferences", `{"preferences":[]}`, service("{own}#other")),
	}
	for _, m := range []string{"actor.getProfile?actor={alice}", "actor.getProfiles?actors={alice}", "feed.getActorLikes?actor={alice}", "feed.getAuthorFeed?actor={alice}", "feed.getTimeline", "feed.getPostThread?uri=at://{alice}/app.bsky.feed.post/x"} {
		short, _, _ := strings.Cut(m, "?")
		join := "?"
		if strings.Contains(m, "?") {
			join = "&"
		}
		for _, a := range []string{"json", "upto"} {
			list = append(list, request{name: short + " " + a, as: alice, path: "/xrpc/app.bsky." + m + join + "answer=" + a, headers: []string{labelers, "Accept-Language: de", "X-Atproto-A: 1", "Cookie: a=1", "Accept-Encoding: gzip"}})
		}
	}
	return append(list,
		request{name: "timeline parameters", as: alice, path: "/xrpc/app.bsky.feed.getTimeline?limit=500&x=y&limit=2"},
		request{name: "profile without actor", as: alice, path: "/xrpc/app.bsky.actor.getProfile"},
		request{name: "timeline post", as: alice, verb: "POST", path: "/xrpc/app.bsky.feed.getTimeline", headers: []string{jsonType}, body: "{}"},
		request{name: "timeline head", as: alice, verb: "HEAD", path: "/xrpc/app.bsky.feed.getTimeline"},
	)
}

func gzipped(text string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write([]byte(text)) // into memory
	_ = w.Close()
	return b.String()
}
