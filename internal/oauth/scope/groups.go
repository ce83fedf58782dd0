package scope

import "slices"

// Kind is a kind of permission, as a person thinks of them.
type Kind string

// The kinds, in the order in which they are shown.
const (
	KindBasic    Kind = "basic"    // to be known as the account: every client has it
	KindGeneric  Kind = "generic"  // nearly everything, as an app password
	KindChat     Kind = "chat"     // messages; with generic only
	KindSet      Kind = "set"      // what a permission set lists
	KindRecords  Kind = "records"  // records of collections
	KindFiles    Kind = "files"    // uploads
	KindCalls    Kind = "calls"    // calls of other services
	KindMail     Kind = "mail"     // the address
	KindAccount  Kind = "account"  // the repository as a whole, the account's state
	KindIdentity Kind = "identity" // handle or more
)

var kinds = []Kind{KindBasic, KindGeneric, KindChat, KindSet, KindRecords, KindFiles, KindCalls, KindMail, KindAccount, KindIdentity}

// Group is what a person says yes or no to at once.
type Group struct {
	ID     string // within the set: its kind, or set: and the NSID
	Kind   Kind
	Strong bool // it can do much harm: the page warns
	Fixed  bool // it cannot be left out

	Records []RecordDetail
	Calls   []CallDetail
	Files   []string // MIME types, or */*
	Manage  bool     // of KindMail: it may change the address, too
	Parts   []string // of KindAccount and KindIdentity: repo, status, handle, *
	Set     *Include // of KindSet
}

// RecordDetail is what may be done with a collection's records. Collection is "*" for all.
type RecordDetail struct {
	Collection string
	Actions    Actions
}

// CallDetail is a method that may be called and where. Either may be "*".
type CallDetail struct{ Method, Aud string }

// Groups sorts the scopes for a person. of gives the entries of permission sets; nil: nothing is known of them.
func (s Set) Groups(of func(Include) []Entry) []Group {
	var out []Group
	for _, k := range kinds {
		for _, e := range s.list {
			kind, id := s.group(e)
			if kind != k {
				continue
			}
			at := slices.IndexFunc(out, func(g Group) bool { return g.ID == id })
			if at < 0 {
				out, at = append(out, Group{ID: id, Kind: kind, Fixed: kind == KindBasic}), len(out)
			}
			out[at].take(e, of)
		}
	}
	return out
}

func (s Set) group(e element) (kind Kind, id string) {
	switch p := e.permission.(type) {
	case repo:
		kind = KindRecords
	case rpc:
		kind = KindCalls
	case blob:
		kind = KindFiles
	case accountScope:
		if kind = KindAccount; p.attr == "email" {
			kind = KindMail
		}
	case identityScope:
		kind = KindIdentity
	default:
		switch {
		case e.include != nil:
			return KindSet, "set:" + e.text
		case e.text == Generic:
			kind = KindGeneric
		case e.text == Chat:
			kind = KindChat
		case e.text == Mail:
			kind = KindMail
		default:
			kind = KindBasic
		}
	}
	return kind, string(kind)
}

// take adds what a scope opens to what the group tells.
func (g *Group) take(e element, of func(Include) []Entry) {
	switch p := e.permission.(type) {
	case repo:
		for _, c := range p.collections {
			g.Records = append(g.Records, RecordDetail{c, p.actions})
			g.Strong = g.Strong || c == "*"
		}
	case rpc:
		for _, m := range p.methods {
			g.Calls = append(g.Calls, CallDetail{m, p.aud})
			g.Strong = g.Strong || m == "*"
		}
	case blob:
		g.Files = append(g.Files, p.accept...)
	case accountScope:
		g.Manage = g.Manage || p.manage
		g.Strong = g.Strong || p.manage
		if p.attr != "email" {
			g.Parts = append(g.Parts, p.attr)
		}
	case identityScope:
		g.Parts = append(g.Parts, p.attr)
		g.Strong = true
	default:
		g.Strong = g.Strong || e.text == Generic || e.text == Chat
		if e.include != nil {
			g.Set = e.include
			if of != nil {
				for _, p := range e.include.permissions(of(*e.include)) {
					g.take(element{permission: p}, nil)
				}
			}
		}
	}
}

// Keep is the set with only the groups that a person said yes to. atproto stays; chat goes where generic goes.
func (s Set) Keep(ids []string) Set {
	return s.filter(func(e element) bool {
		kind, id := s.group(e)
		switch kind {
		case KindBasic:
			return true
		case KindChat:
			return slices.Contains(ids, id) && slices.Contains(ids, string(KindGeneric))
		}
		return slices.Contains(ids, id)
	})
}
