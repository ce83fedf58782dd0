package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

// The scripts ask the program itself what may come next, so they need not change with it.
var completionScripts = map[string]string{
	"bash": `# locus completion bash > /usr/share/bash-completion/completions/locus
_locus() {
    local IFS=$'\n'
    COMPREPLY=($(locus complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
    [ ${#COMPREPLY[@]} -gt 0 ] || compopt -o default
}
complete -F _locus locus
`,
	"zsh": `#compdef locus
# locus completion zsh > "${fpath[1]}/_locus"
_locus() {
    local -a found
    found=("${(@f)$(locus complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    if [[ -n "$found" ]]; then compadd -a found; else _files; fi
}
compdef _locus locus
`,
	"fish": `# locus completion fish > ~/.config/fish/completions/locus.fish
complete -c locus -f -a '(locus complete -- (commandline -opc)[2..-1] (commandline -ct))'
`,
}

// Run prints the script.
func (c completionCmd) Run() error {
	return printed("%s", completionScripts[c.Shell])
}

// completeCmd is what the scripts call.
type completeCmd struct {
	Words []string `arg:"" optional:"" passthrough:"" help:"What was typed so far; the last word is being typed."`
}

// Run prints what the last word may become, one a line.
func (c completeCmd) Run(k *kong.Kong) error {
	words := c.Words
	if len(words) > 0 && words[0] == "--" {
		words = words[1:]
	}
	if len(words) > 200 {
		return errors.New("too many words")
	}
	for _, word := range candidates(k.Model.Node, words) {
		fmt.Println(word)
	}
	return nil
}

// candidates are commands, flags, and the values of flags that have a few known ones.
func candidates(node *kong.Node, words []string) (out []string) {
	typed := ""
	if len(words) > 0 {
		typed, words = words[len(words)-1], words[:len(words)-1]
	}
	var waiting *kong.Flag // whose value comes next
	for _, word := range words {
		switch name, _, whole := strings.Cut(word, "="); {
		case waiting != nil:
			waiting = nil
		case strings.HasPrefix(word, "--"):
			if f := flagOf(node, name[2:]); f != nil && !whole && !f.IsBool() {
				waiting = f
			}
		default:
			if i := slices.IndexFunc(node.Children, func(n *kong.Node) bool { return n.Name == word || slices.Contains(n.Aliases, word) }); i >= 0 {
				node = node.Children[i]
			}
		}
	}
	switch {
	case waiting != nil:
		out = waiting.EnumSlice()
	case strings.HasPrefix(typed, "-"):
		for _, group := range node.AllFlags(true) {
			for _, f := range group {
				out = append(out, "--"+f.Name)
			}
		}
	default:
		for _, n := range node.Children {
			if !n.Hidden {
				out = append(out, n.Name)
			}
		}
		for _, p := range node.Positional {
			out = append(out, p.EnumSlice()...)
		}
	}
	out = slices.DeleteFunc(out, func(s string) bool { return s == "" || !strings.HasPrefix(s, typed) })
	slices.Sort(out)
	return slices.Compact(out)
}

// flagOf finds a flag of a command or of those above it.
func flagOf(node *kong.Node, name string) *kong.Flag {
	for _, group := range node.AllFlags(false) {
		for _, f := range group {
			if f.Name == name {
				return f
			}
		}
	}
	return nil
}
