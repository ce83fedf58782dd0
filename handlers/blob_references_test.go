package handlers

import (
	"testing"

	"github.com/auroralocus/locus/repo/dagcbor"
)

func TestBlobReferences(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice := h.createAccount(hostA, "alice")
	a, b := alice.uploaded(png(10)), alice.uploaded(png(20))
	wrong := func(blob obj, name string, value any) obj {
		out := obj{}
		for k, v := range blob {
			out[k] = v
		}
		out[name] = value
		return out
	}
	// Every write checks existence, type and size; of permanent blobs too.
	for range 2 {
		alice.create("app.bsky.feed.post", "", imagePost("x", wrong(a, "mimeType", "image/gif"))).fails(400, "InvalidMimeType", "Expected: image/png, Got: image/gif")
		alice.create("app.bsky.feed.post", "", imagePost("x", wrong(a, "size", 5))).fails(400, "InvalidSize", "Got: 5")
		alice.create("app.bsky.feed.post", "", imagePost("x", a, wrong(a, "ref", obj{"$link": dagcbor.RawCID([]byte("nowhere")).String()}))).fails(400, "BlobNotFound", "")
		alice.create("app.bsky.feed.post", rk("one"), imagePost("x", a)).ok()
		alice.del("app.bsky.feed.post", rk("one")).ok()
		a = alice.uploaded(png(10))
		alice.put("app.bsky.feed.post", rk("keep"), imagePost("x", a)).ok()
	}
	// The lexicon's own rules: type and size of what a field takes.
	text := alice.uploaded([]byte("plain words"), "Content-Type: text/plain")
	alice.create("app.bsky.feed.post", "", imagePost("x", text)).fails(400, "InvalidRequest", "mimetype")
	large := alice.uploaded(png(3 << 20))
	alice.create("app.bsky.feed.post", "", imagePost("x", large)).fails(400, "InvalidRequest", "")
	alice.call("com.atproto.repo.createRecord", obj{"repo": alice.did, "collection": "app.bsky.feed.post", "rkey": rk("unchecked"), "validate": false, "record": imagePost("x", large)}).ok()

	// Two records, one blob: it stays with the last.
	alice.create("app.bsky.feed.post", rk("p1"), imagePost("1", b)).ok()
	alice.create("app.bsky.feed.post", rk("p2"), imagePost("2", b, b)).ok()
	alice.del("app.bsky.feed.post", rk("p1")).ok()
	alice.blobFile(refOf(b)).ok()
	// An update that keeps it, one that lets go of it.
	alice.put("app.bsky.feed.post", rk("p2"), imagePost("two", b)).ok()
	alice.blobFile(refOf(b)).ok()
	alice.put("app.bsky.feed.post", rk("p2"), postRecord("two, without")).ok()
	alice.blobFile(refOf(b)).fails(400, "BlobNotFound", "")
	alice.put("app.bsky.feed.post", rk("p2"), imagePost("two", b)).fails(400, "BlobNotFound", "")
	// Moving a blob between records in one commit keeps it.
	c := alice.uploaded(png(30))
	alice.create("app.bsky.feed.post", rk("m1"), imagePost("1", c)).ok()
	alice.call("com.atproto.repo.applyWrites", obj{"repo": alice.did, "writes": list{
		obj{"$type": "com.atproto.repo.applyWrites#delete", "collection": "app.bsky.feed.post", "rkey": rk("m1")},
		obj{"$type": "com.atproto.repo.applyWrites#create", "collection": "app.bsky.feed.post", "rkey": rk("m2"), "value": imagePost("2", c)},
	}}).ok()
	alice.blobFile(refOf(c)).ok()
	// Two records of one commit, and a record that goes and comes back within one.
	e := alice.uploaded(png(35))
	alice.call("com.atproto.repo.applyWrites", obj{"repo": alice.did, "writes": list{
		obj{"$type": "com.atproto.repo.applyWrites#create", "collection": "app.bsky.feed.post", "rkey": rk("t1"), "value": imagePost("1", e)},
		obj{"$type": "com.atproto.repo.applyWrites#create", "collection": "app.bsky.feed.post", "rkey": rk("t2"), "value": imagePost("2", e, e)},
	}}).ok()
	alice.del("app.bsky.feed.post", rk("t1")).ok()
	alice.call("com.atproto.repo.applyWrites", obj{"repo": alice.did, "writes": list{
		obj{"$type": "com.atproto.repo.applyWrites#delete", "collection": "app.bsky.feed.post", "rkey": rk("t2")},
		obj{"$type": "com.atproto.repo.applyWrites#create", "collection": "app.bsky.feed.post", "rkey": rk("t2"), "value": imagePost("again", e)},
	}}).ok()
	alice.blobFile(refOf(e)).ok()
	alice.call("com.atproto.repo.applyWrites", obj{"repo": alice.did, "writes": list{
		obj{"$type": "com.atproto.repo.applyWrites#create", "collection": "app.bsky.feed.post", "rkey": rk("t3"), "value": imagePost("3", e)},
		obj{"$type": "com.atproto.repo.applyWrites#delete", "collection": "app.bsky.feed.post", "rkey": rk("t3")},
		obj{"$type": "com.atproto.repo.applyWrites#delete", "collection": "app.bsky.feed.post", "rkey": rk("t2")},
	}}).ok()
	alice.blobFile(refOf(e)).fails(400, "BlobNotFound", "")
	// All or nothing.
	d := alice.uploaded(png(40))
	alice.call("com.atproto.repo.applyWrites", obj{"repo": alice.did, "writes": list{
		obj{"$type": "com.atproto.repo.applyWrites#create", "collection": "app.bsky.feed.post", "rkey": rk("n1"), "value": imagePost("1", d)},
		obj{"$type": "com.atproto.repo.applyWrites#create", "collection": "app.bsky.feed.post", "rkey": rk("n2"), "value": imagePost("2", wrong(d, "size", 1))},
	}}).fails(400, "InvalidSize", "")
	alice.blobFile(refOf(d)).fails(400, "BlobNotFound", "")
	h.check()
	alice.usageIsTrue()
}

// usageIsTrue compares the counters with what they count.
func (u *user) usageIsTrue() {
	u.t.Helper()
	if n := u.count(`SELECT count(*) FROM (SELECT aid, count(*) AS blobs, sum(size) AS bytes FROM pds.blob GROUP BY aid) t
		FULL JOIN pds.blob_usage u USING (aid) WHERE (coalesce(t.blobs, 0), coalesce(t.bytes, 0)) IS DISTINCT FROM (u.blobs, u.bytes::numeric)`); n != 0 {
		u.t.Errorf("the counters of %d accounts are wrong", n)
	}
}
