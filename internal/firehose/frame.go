package firehose

import (
	"time"

	"github.com/auroralocus/locus/repo"
	"github.com/auroralocus/locus/repo/car"
	"github.com/auroralocus/locus/repo/dagcbor"
	"github.com/ipfs/go-cid"
)

// timeFormat is RFC 3339 with exactly three decimals and Z.
const timeFormat = "2006-01-02T15:04:05.000Z"

func appendTime(dst []byte, at time.Time) []byte {
	dst = dagcbor.AppendHead(dst, dagcbor.MajorText, uint64(len(timeFormat)))
	return at.UTC().AppendFormat(dst, timeFormat)
}

// appendHeader appends {"t": type, "op": 1}.
//
// spec: event-stream#streaming-wire-protocol-v0
func appendHeader(dst []byte, k Kind) []byte {
	dst = dagcbor.AppendMapHead(dst, 2)
	dst = dagcbor.AppendText(dst, "t")
	dst = dagcbor.AppendText(dst, k.Type())
	dst = dagcbor.AppendText(dst, "op")
	return dagcbor.AppendInt(dst, 1)
}

// NewCommit builds the #commit event of c. The archive's size and the number of operations are repo's to limit.
//
// spec: sync#commit-events
func NewCommit(aid int64, c *repo.Commit, at time.Time) Event {
	// One buffer: the archive is written at its final place once its length is known, which costs a pass over the
	// blocks' lengths and saves a copy.
	blocks := c.CARLen()
	size := blocks + 400
	for i := range c.Ops {
		size += len(c.Ops[i].Path) + 130
	}
	dst := appendHeader(make([]byte, 0, size), KindCommit)
	hasPrev := c.PrevData.Defined()
	if hasPrev {
		dst = dagcbor.AppendMapHead(dst, 12)
	} else {
		dst = dagcbor.AppendMapHead(dst, 11)
	}
	dst = dagcbor.AppendText(dst, "ops")
	dst = dagcbor.AppendArrayHead(dst, len(c.Ops))
	for i := range c.Ops {
		dst = appendOp(dst, &c.Ops[i])
	}
	dst = dagcbor.AppendText(dst, "rev")
	dst = dagcbor.AppendText(dst, c.Head.Rev.String())
	dst = dagcbor.AppendText(dst, "seq")
	seqOff := len(dst)
	dst = dagcbor.AppendText(dst, "repo")
	dst = dagcbor.AppendText(dst, c.Head.DID)
	dst = dagcbor.AppendText(dst, "time")
	dst = appendTime(dst, at)
	dst = dagcbor.AppendText(dst, "blobs")
	dst = dagcbor.AppendArrayHead(dst, 0)
	dst = dagcbor.AppendText(dst, "since")
	if c.Since == 0 {
		dst = dagcbor.AppendNull(dst)
	} else {
		dst = dagcbor.AppendText(dst, c.Since.String())
	}
	dst = dagcbor.AppendText(dst, "blocks")
	dst = dagcbor.AppendHead(dst, dagcbor.MajorBytes, uint64(blocks))
	start := len(dst)
	dst = c.AppendCAR(dst)
	if len(dst)-start != blocks {
		panic("firehose: the archive is not as long as its parts")
	}
	dst = dagcbor.AppendText(dst, "commit")
	dst = dagcbor.AppendLink(dst, c.Head.CID)
	dst = dagcbor.AppendText(dst, "rebase")
	dst = dagcbor.AppendBool(dst, false)
	dst = dagcbor.AppendText(dst, "tooBig")
	dst = dagcbor.AppendBool(dst, false)
	if hasPrev {
		dst = dagcbor.AppendText(dst, "prevData")
		dst = dagcbor.AppendLink(dst, c.PrevData)
	}
	return Event{AID: aid, Kind: KindCommit, Time: at, Rev: c.Head.Rev, SeqOff: seqOff, Payload: dst}
}

// appendOp appends {cid, path, prev?, action}.
func appendOp(dst []byte, op *repo.Op) []byte {
	if op.Prev.Defined() {
		dst = dagcbor.AppendMapHead(dst, 4)
	} else {
		dst = dagcbor.AppendMapHead(dst, 3)
	}
	dst = dagcbor.AppendText(dst, "cid")
	dst = dagcbor.AppendLink(dst, op.CID) // null if undefined
	dst = dagcbor.AppendText(dst, "path")
	dst = dagcbor.AppendText(dst, op.Path)
	if op.Prev.Defined() {
		dst = dagcbor.AppendText(dst, "prev")
		dst = dagcbor.AppendLink(dst, op.Prev)
	}
	dst = dagcbor.AppendText(dst, "action")
	return dagcbor.AppendText(dst, op.Action.String())
}

// NewSync builds the #sync event of a repository whose newest commit is block: "my state is now this; fetch the
// repository if you disagree".
//
// spec: sync#sync-events
func NewSync(aid int64, did string, rev repo.TID, commit cid.Cid, block []byte, at time.Time) Event {
	blocks := car.HeaderLen(commit) + car.SectionLen(len(block))
	dst := appendHeader(make([]byte, 0, blocks+200), KindSync)
	dst = dagcbor.AppendMapHead(dst, 5)
	dst = dagcbor.AppendText(dst, "did")
	dst = dagcbor.AppendText(dst, did)
	dst = dagcbor.AppendText(dst, "rev")
	dst = dagcbor.AppendText(dst, rev.String())
	dst = dagcbor.AppendText(dst, "seq")
	seqOff := len(dst)
	dst = dagcbor.AppendText(dst, "time")
	dst = appendTime(dst, at)
	dst = dagcbor.AppendText(dst, "blocks")
	dst = dagcbor.AppendHead(dst, dagcbor.MajorBytes, uint64(blocks))
	dst = car.AppendHeader(dst, commit)
	dst = car.AppendSection(dst, commit, block)
	return Event{AID: aid, Kind: KindSync, Time: at, Rev: rev, SeqOff: seqOff, Payload: dst}
}

// NewIdentity builds the #identity event: "resolve this DID again". An empty handle is left out.
//
// spec: sync#identity-events
func NewIdentity(aid int64, did, handle string, at time.Time) Event {
	dst := appendHeader(make([]byte, 0, 160+len(handle)), KindIdentity)
	n := 3
	if handle != "" {
		n = 4
	}
	dst = dagcbor.AppendMapHead(dst, n)
	dst, seqOff := appendAccountStart(dst, did, at)
	if handle != "" {
		dst = dagcbor.AppendText(dst, "handle")
		dst = dagcbor.AppendText(dst, handle)
	}
	return Event{AID: aid, Kind: KindIdentity, Time: at, SeqOff: seqOff, Payload: dst}
}

// NewAccount builds the #account event. status is one of the Status constants, or empty if the account is active.
//
// spec: sync#account-events
func NewAccount(aid int64, did string, active bool, status string, at time.Time) Event {
	dst := appendHeader(make([]byte, 0, 192), KindAccount)
	n := 4
	if status != "" {
		n = 5
	}
	dst = dagcbor.AppendMapHead(dst, n)
	dst, seqOff := appendAccountStart(dst, did, at)
	dst = dagcbor.AppendText(dst, "active")
	dst = dagcbor.AppendBool(dst, active)
	if status != "" {
		dst = dagcbor.AppendText(dst, "status")
		dst = dagcbor.AppendText(dst, status)
	}
	return Event{AID: aid, Kind: KindAccount, Time: at, SeqOff: seqOff, Payload: dst}
}

// appendAccountStart appends did, seq's key and time; seqOff is where its value belongs.
func appendAccountStart(dst []byte, did string, at time.Time) (out []byte, seqOff int) {
	dst = dagcbor.AppendText(dst, "did")
	dst = dagcbor.AppendText(dst, did)
	dst = dagcbor.AppendText(dst, "seq")
	seqOff = len(dst)
	dst = dagcbor.AppendText(dst, "time")
	return appendTime(dst, at), seqOff
}
