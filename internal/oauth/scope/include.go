package scope

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// PermissionSet is what a lexicon of the type permission-set says.
type PermissionSet struct {
	NSID    string
	Title   map[string]string // by language; "" is the default
	Detail  map[string]string
	Entries []Entry
}

// Entry is one line of a permission set. Only [Set.Expand] says what it opens.
type Entry struct {
	resource string
	values   map[string][]string
	inherit  bool
	bad      bool // it has something that nobody knows
}

// ErrNoPermissionSet: the document is none.
var ErrNoPermissionSet = errors.New("not a permission set")

// Bounds of a permission set.
const (
	MaxSetBytes = 128 << 10
	maxEntries  = 500
)

// ParsePermissionSet reads a lexicon document as JSON. Errors: [ErrNoPermissionSet].
// spec: permission#permission-sets
func ParsePermissionSet(doc []byte) (*PermissionSet, error) {
	if len(doc) > MaxSetBytes {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrNoPermissionSet, MaxSetBytes)
	}
	var d struct {
		ID   string `json:"id"`
		Defs struct {
			Main struct {
				Type        string            `json:"type"`
				Title       string            `json:"title"`
				TitleLang   map[string]string `json:"title:lang"`
				Detail      string            `json:"detail"`
				DetailLang  map[string]string `json:"detail:lang"`
				Permissions []map[string]any  `json:"permissions"`
			} `json:"main"`
		} `json:"defs"`
	}
	if err := json.Unmarshal(doc, &d); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoPermissionSet, err)
	}
	m := &d.Defs.Main
	if m.Type != "permission-set" || !isNSID(d.ID) {
		return nil, ErrNoPermissionSet
	}
	if len(m.Permissions) > maxEntries {
		return nil, fmt.Errorf("%w: more than %d entries", ErrNoPermissionSet, maxEntries)
	}
	s := &PermissionSet{NSID: d.ID, Title: texts(m.Title, m.TitleLang), Detail: texts(m.Detail, m.DetailLang)}
	for _, p := range m.Permissions {
		s.Entries = append(s.Entries, newEntry(p))
	}
	return s, nil
}

func texts(text string, byLanguage map[string]string) map[string]string {
	out := map[string]string{}
	maps.Copy(out, byLanguage)
	if text != "" {
		out[""] = text
	}
	return out
}

func newEntry(p map[string]any) (e Entry) {
	e.values = map[string][]string{}
	for key, value := range p {
		switch v := value.(type) {
		case string:
			switch key {
			case "type":
				e.bad = e.bad || v != "permission"
			case "resource":
				e.resource = v
			case "aud":
				e.values[key] = []string{v}
			default:
				e.bad = true
			}
		case bool:
			e.inherit = v
			e.bad = e.bad || key != "inheritAud"
		case []any:
			for _, one := range v {
				text, ok := one.(string)
				e.bad = e.bad || !ok
				e.values[key] = append(e.values[key], text)
			}
			e.bad = e.bad || len(v) == 0
		default:
			e.bad = true
		}
	}
	return e
}

// permissions are those of a set's entries that may be opened through it: an entry that is not clearly within the set's
// own group of names is passed over.
func (i Include) permissions(entries []Entry) (out []permission) {
	for _, e := range entries {
		if p := i.permission(e); p != nil {
			out = append(out, p)
		}
	}
	return out
}

func (i Include) permission(e Entry) permission {
	if e.bad {
		return nil
	}
	only := func(keys ...string) bool {
		for k := range e.values {
			if !slices.Contains(keys, k) {
				return false
			}
		}
		return true
	}
	switch e.resource {
	case "repo":
		collections, actions := e.values["collection"], e.values["action"]
		if e.inherit || !only("collection", "action") || !i.holds(collections) || slices.ContainsFunc(actions, func(a string) bool { return !isAction(a) }) {
			return nil
		}
		return newRepo(collections, actions)
	case "rpc":
		methods, aud := e.values["lxm"], e.values["aud"]
		if !only("lxm", "aud") || !i.holds(methods) {
			return nil
		}
		to := i.Aud
		switch {
		case e.inherit && len(aud) > 0, e.inherit && to == "", !e.inherit && (len(aud) != 1 || aud[0] != "*"):
			return nil
		case !e.inherit:
			to = "*"
		}
		return asPermission(newRPC(methods, to))
	}
	return nil
}

// holds says whether all names are in the set's group: that of the set without its last part, and what is below it.
func (i Include) holds(names []string) bool {
	group := i.NSID[:strings.LastIndexByte(i.NSID, '.')+1]
	if len(names) == 0 || group == "" {
		return false
	}
	for _, n := range names {
		if !isNSID(n) || !strings.HasPrefix(n, group) {
			return false
		}
	}
	return true
}

// Bytes is about what a set takes in memory.
func (s *PermissionSet) Bytes() (n int) {
	for _, m := range []map[string]string{s.Title, s.Detail} {
		for k, v := range m {
			n += len(k) + len(v) + 32
		}
	}
	for _, e := range s.Entries {
		n += 96
		for k, values := range e.values {
			n += len(k) + 32
			for _, v := range values {
				n += len(v) + 16
			}
		}
	}
	return n
}
