package xrpc

import (
	"reflect"
	"runtime"
	"strings"
)

// Rule decides whether an account may do this; what the table says of it stands beside its name in [Tables].Rules. It is
// where a method says what an OAuth token must cover. A rule that returns nil lets the call pass.
type Rule[I any] func(AccountCaller, *I) error

// RuleText is what is known of a rule besides its code.
type RuleText struct {
	// Scope is what a caller by OAuth needs, as the access table has it. What stands there in capitals is of the call.
	Scope string
	// Early says that the rule does not look at the input, which is nil for it: it is asked before a body is read.
	Early bool
}

// rule is what the tables say of a rule. One that nobody wrote a text for is the programmer's mistake.
func (of *Tables) rule(nsid string, f any) RuleText {
	name := strings.TrimSuffix(runtime.FuncForPC(reflect.ValueOf(f).Pointer()).Name(), "-fm") // a method's
	name = name[strings.LastIndexByte(strings.TrimSuffix(name, "[...]"), '.')+1:]
	text, ok := of.Rules[strings.TrimSuffix(name, "[...]")]
	if !ok {
		panic(nsid + ": the table of rules does not know " + name)
	}
	return text
}
