package console

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/auroralocus/locus/internal/act"
)

// said is one value of what a job was asked, or of what came of it, in words.
type said struct {
	Name  string
	Code  bool // its values are names that machines made
	At    time.Time
	Lines []string // where it is no moment
}

// how is the way in which a value is written.
type how int

const (
	asIs how = iota
	asCode
	asMoment
	asSize
	asHours  // of seconds
	asMillis // of milliseconds
	asNode   // the number of a database
	asFiles  // an [archive.BlobMode]
	asGiven  // a secret: that there is one, and nothing of it
	asLeft   // an [act.Left]
	asMoved  // an [act.DrainedTenant]
	asNothing
)

// jobWord is what a value is called. kind is that of the job where it is not called so in all of them.
type jobWord struct {
	key, kind, name string
	how             how
}

// jobWords are all values of the jobs that there are, in the order in which they are told. What a newer version adds is
// told behind them, by the name that its key makes.
var jobWords = []jobWord{
	{"ok", "", "Could be restored", asIs},
	{"state", "", "The tenant is now", asIs},
	{"name", "", "Backup", asCode},
	{"backup", "", "Backup", asCode},
	{"of", act.JobClone, "Copy of", asIs},
	{"hostname", act.JobClone, "Hostname of the copy", asIs},
	{"hostname", "", "Hostname", asIs},
	{"was", "", "Hostname before", asIs},
	{"To", "", "New hostname", asIs},
	{"Handles", "", "Handles move to the new name", asIs},
	{"Rate", "", "Operations a second", asIs},
	{"Reason", "", "Reason", asIs},
	{"PurgeAt", "", "Can be brought back until", asMoment},
	{"Now", "", "Also before its time", asIs},
	{"WithFiles", "", "Its files are removed, too", asIs},
	{"replace", "", "In the place of the tenant that is there", asIs},
	{"replaced", "", "Took the place of the tenant that was there", asIs},
	{"madeAt", "", "As of", asMoment},
	{"from", act.JobMove, "From the database", asNode},
	{"to", act.JobMove, "To the database", asNode},
	{"node", act.JobDrain, "Database that is emptied", asIs},
	{"to", act.JobDrain, "To the database", asIs},
	{"to", act.JobKeyRotate, "Key that is to seal", asIs},
	{"fingerprint", "", "Its fingerprint", asCode},
	{"node", "", "Database", asNode},
	{"blobs", "", "Files", asFiles},
	{"encrypted", "", "Encrypted", asIs},
	{"recipients", "", "Recipients", asCode},
	{"sealedIdentity", "", "Secret key of age", asGiven},
	{"settings", "", "Settings", asIs},
	{"keepUntil", "", "Kept until", asMoment},
	{"keepSeconds", "", "The old copy is kept for", asHours},
	{"waitSeconds", "", "Waits for servers without the key", asHours},
	{"leaveDamaged", "", "Goes on over what does not open", asIs},
	{"bytes", act.JobMove, "Copied", asSize},
	{"bytes", "", "Size", asSize},
	{"accounts", act.JobRename, "Accounts", asIs},
	{"accounts", "", "Accounts whose followers were told", asIs},
	{"changed", "", "DIDs that were changed", asIs},
	{"leftCount", "", "Accounts that stay as they were", asIs},
	{"left", "", "These stay as they were", asLeft},
	{"rows", "", "Rows", asIs},
	{"repositories", "", "Repositories", asIs},
	{"files", act.JobPurge, "Files removed", asIs},
	{"files", "", "Files", asIs},
	{"filesLeft", "", "Files were left in their stores", asIs},
	{"missingFiles", "", "Files that are missing", asIs},
	{"problemsFound", "", "Problems", asIs},
	{"problems", "", "What is wrong", asIs},
	{"accountsTold", "", "Accounts whose followers were told", asIs},
	{"lastSeq", "", "Last number of its stream", asIs},
	{"nextSeq", "", "Next number of its stream", asIs},
	{"pauseMillis", "", "Writers waited for", asMillis},
	{"elapsedMillis", "", "It took", asMillis},
	{"checkedRepos", "", "Repositories that were compared", asIs},
	{"sqlLoginEnded", "", "The owner's login to the old database was ended", asIs},
	{"leftSchema", "", "The old copy", asCode},
	{"leftUntil", "", "It is dropped after", asMoment},
	{"moved", "", "Tenants moved", asIs},
	{"failed", "", "Tenants that could not be moved", asIs},
	{"tenants", act.JobDrain, "One by one", asMoved},
	{"key", "", "Key that seals", asIs},
	{"refused", "", "Keys that are used no more", asIs},
	{"tenants", "", "Tenants", asIs},
	{"resealed", "", "Secrets sealed anew", asIs},
	{"damaged", "", "These did not open, and stay as they are", asIs},
	{"schema", "", "Schema", asCode},
	{"program", "", "Made by version", asIs},
	{"address", "", "Asked from", asIs},
	{"requestId", "", "Request", asCode},
	// The page says these itself, or nobody needs them.
	{"by", "", "", asNothing},
	{"role", "", "", asNothing},
	{"deploymentRole", "", "", asNothing},
	{"job", "", "", asNothing},
	{"tenantId", "", "", asNothing},
}

// wordOf is what a key of a kind of job is called.
func wordOf(kind, key string) (jobWord, int) {
	best := -1
	for i, w := range jobWords {
		if w.key == key && (w.kind == kind || w.kind == "" && best < 0) {
			best = i
			if w.kind == kind {
				break
			}
		}
	}
	if best >= 0 {
		return jobWords[best], best
	}
	return plainWord(key), len(jobWords)
}

// plainWord is what a key is called of which nothing more is known. What may be a secret is not told.
func plainWord(key string) jobWord {
	w := jobWord{key: key, name: plainWords(key)}
	if low := strings.ToLower(key); slices.ContainsFunc([]string{"secret", "sealed", "password", "token", "identity", "private"}, func(s string) bool { return strings.Contains(low, s) }) {
		w.how = asGiven
	}
	return w
}

// plainWords makes words of a key: "missingFiles" is "Missing files".
func plainWords(key string) string {
	var b strings.Builder
	for i, r := range key {
		switch {
		case i == 0:
			r = unicode.ToUpper(r)
		case unicode.IsUpper(r):
			b.WriteByte(' ')
			r = unicode.ToLower(r)
		}
		b.WriteRune(r)
	}
	return b.String()
}

// inWords is an object of a job for people. Empty values say nothing and are left out.
func inWords(kind string, object json.RawMessage, nodes map[int64]string) []said {
	return saidOf(object, nodes, func(key string) (jobWord, int) { return wordOf(kind, key) })
}

// plainly is an object of which only its keys say what is in it, as the details of a log.
func plainly(object json.RawMessage) []said {
	return saidOf(object, nil, func(key string) (jobWord, int) { return plainWord(key), 0 })
}

func saidOf(object json.RawMessage, nodes map[int64]string, word func(key string) (jobWord, int)) []said {
	var values map[string]any
	if d := json.NewDecoder(strings.NewReader(string(object))); len(object) > 0 {
		d.UseNumber()
		if d.Decode(&values) != nil {
			return nil
		}
	}
	type placed struct {
		said
		at int
	}
	var all []placed
	for key, v := range values {
		w, at := word(key)
		s := said{Name: w.name, Code: w.how == asCode}
		if text, ok := v.(string); ok && w.how == asMoment {
			s.At, _ = time.Parse(time.RFC3339, text)
		} else {
			s.Lines = linesOf(w.how, v, nodes)
		}
		if w.how != asNothing && (!s.At.IsZero() || len(s.Lines) > 0) {
			all = append(all, placed{s, at})
		}
	}
	slices.SortFunc(all, func(a, b placed) int {
		if a.at != b.at {
			return a.at - b.at
		}
		return strings.Compare(a.Name, b.Name)
	})
	out := make([]said, len(all))
	for i, p := range all {
		out[i] = p.said
	}
	return out
}

// linesOf are the lines of a value.
func linesOf(h how, v any, nodes map[int64]string) []string {
	if _, plain := v.(bool); h == asGiven && !plain {
		return []string{"given; it is kept sealed, and not shown"}
	}
	switch v := v.(type) {
	case nil:
		return nil
	case bool:
		if v {
			return []string{"yes"}
		}
		return []string{"no"}
	case json.Number:
		return []string{numberOf(h, v, nodes)}
	case string:
		if h == asFiles {
			v = map[string]string{"include": "in the backup", "reference": "only where they lie", "none": "none"}[v]
		}
		if v == "" {
			return nil
		}
		return []string{v}
	case []any:
		var out []string
		for _, one := range v {
			out = append(out, strings.Join(linesOf(h, one, nodes), ", "))
		}
		return out
	case map[string]any:
		return objectLines(h, v)
	}
	return []string{fmt.Sprint(v)}
}

func numberOf(h how, v json.Number, nodes map[int64]string) string {
	n, err := v.Int64()
	if err != nil {
		return v.String()
	}
	switch h {
	case asSize:
		return size(n)
	case asHours:
		return lasting(time.Duration(n) * time.Second)
	case asMillis:
		return lasting(time.Duration(n) * time.Millisecond)
	case asNode:
		if name := nodes[n]; name != "" {
			return name
		}
		if n == 0 {
			return "as for new tenants"
		}
		return "number " + v.String()
	}
	return grouped(n)
}

// lasting is how long something takes, as people say it.
func lasting(d time.Duration) string {
	unit := func(n float64, name string) string {
		text := strconv.FormatFloat(n, 'f', -1, 64)
		if n != 1 {
			name += "s"
		}
		return text + " " + name
	}
	switch {
	case d == 0:
		return "no time"
	case d < time.Second:
		return strconv.FormatInt(d.Milliseconds(), 10) + " ms"
	case d < 2*time.Minute:
		return unit(float64(d.Round(100*time.Millisecond))/float64(time.Second), "second")
	case d < 2*time.Hour:
		return unit(float64(d.Round(6*time.Second))/float64(time.Minute), "minute")
	}
	return unit(float64(d.Round(6*time.Minute))/float64(time.Hour), "hour")
}

// objectLines are those of an object within a value.
func objectLines(h how, v map[string]any) []string {
	text := func(key string) string { s, _ := v[key].(string); return s }
	switch h {
	case asLeft:
		who := text("did")
		if handle := text("handle"); handle != "" {
			who = "@" + handle + " (" + who + ")"
		}
		return []string{who + ": " + text("why")}
	case asMoved:
		line := text("tenant") + " to " + text("to") + ": " + text("state")
		if why := text("error"); why != "" {
			line += ", " + why
		}
		return []string{line}
	}
	var out []string
	for key, one := range v {
		text := fmt.Sprint(one)
		if text == "" {
			text = "–" // it was set to nothing
		}
		out = append(out, key+": "+text)
	}
	slices.Sort(out)
	return out
}
