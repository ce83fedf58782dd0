package account

import "github.com/auroralocus/locus/internal/agent"

// AgentText says in words what program a header names.
func (l *look) AgentText(header string) string {
	if words := agent.Words(header); words != "" {
		return words
	}
	return l.Say("security.unknown")
}
