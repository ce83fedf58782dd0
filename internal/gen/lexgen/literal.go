package main

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// The published package holds its schemas as one JavaScript object literal. It is read here as data:
// nothing of a downloaded package is ever executed.

// literal turns a JavaScript literal made of objects, arrays, strings, integers and booleans into JSON.
// Members called "description" are left out: they are most of the text and no rule depends on them.
type literal struct {
	src []byte
	pos int
	out bytes.Buffer
}

func literalToJSON(src []byte) (json []byte, rest int, err error) {
	p := &literal{src: src}
	if err := p.value(&p.out); err != nil {
		return nil, 0, fmt.Errorf("at byte %d: %w", p.pos, err)
	}
	return p.out.Bytes(), p.pos, nil
}

func (p *literal) space() {
	for p.pos < len(p.src) {
		switch p.src[p.pos] {
		case ' ', '\t', '\n', '\r':
			p.pos++
		default:
			return
		}
	}
}

func (p *literal) peek() byte {
	p.space()
	if p.pos >= len(p.src) {
		return 0
	}
	return p.src[p.pos]
}

func (p *literal) value(out *bytes.Buffer) error {
	switch c := p.peek(); {
	case c == '{':
		return p.object(out)
	case c == '[':
		return p.array(out)
	case c == '\'' || c == '"':
		s, err := p.text()
		if err != nil {
			return err
		}
		// The package writes references as lex: URIs; the lexicon language itself has bare NSIDs.
		return quote(out, strings.TrimPrefix(s, "lex:"))
	default:
		w := p.word()
		if w != "true" && w != "false" {
			if _, err := strconv.ParseInt(w, 10, 64); err != nil {
				return fmt.Errorf("%q is neither a literal value nor an integer", w)
			}
		}
		out.WriteString(w)
		return nil
	}
}

func (p *literal) object(out *bytes.Buffer) error {
	p.pos++
	out.WriteByte('{')
	first := true
	for p.peek() != '}' {
		key, err := p.key()
		if err != nil {
			return err
		}
		if p.peek() != ':' {
			return fmt.Errorf("no colon after %q", key)
		}
		p.pos++
		var member bytes.Buffer
		if err := p.value(&member); err != nil {
			return err
		}
		// A property that is itself called "description" holds an object; only texts are dropped.
		if key != "description" || member.Bytes()[0] != '"' {
			if !first {
				out.WriteByte(',')
			}
			first = false
			if err := quote(out, key); err != nil {
				return err
			}
			out.WriteByte(':')
			out.Write(member.Bytes())
		}
		if p.peek() == ',' {
			p.pos++
		} else if p.peek() != '}' {
			return fmt.Errorf("object neither goes on nor ends after %q", key)
		}
	}
	p.pos++
	out.WriteByte('}')
	return nil
}

func (p *literal) array(out *bytes.Buffer) error {
	p.pos++
	out.WriteByte('[')
	for n := 0; p.peek() != ']'; n++ {
		if n > 0 {
			out.WriteByte(',')
		}
		if err := p.value(out); err != nil {
			return err
		}
		if p.peek() == ',' {
			p.pos++
		} else if p.peek() != ']' {
			return fmt.Errorf("array neither goes on nor ends")
		}
	}
	p.pos++
	out.WriteByte(']')
	return nil
}

func (p *literal) key() (string, error) {
	if c := p.peek(); c == '\'' || c == '"' {
		return p.text()
	}
	w := p.word()
	if w == "" {
		return "", fmt.Errorf("a member without a name")
	}
	return w, nil
}

func (p *literal) word() string {
	p.space()
	start := p.pos
	for p.pos < len(p.src) {
		c := p.src[p.pos]
		if c != '_' && c != '$' && c != '-' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			break
		}
		p.pos++
	}
	return string(p.src[start:p.pos])
}

func (p *literal) text() (string, error) {
	end := p.src[p.pos]
	p.pos++
	var s []byte
	for p.pos < len(p.src) {
		c := p.src[p.pos]
		p.pos++
		switch c {
		case end:
			return string(s), nil
		case '\n':
			return "", fmt.Errorf("unfinished text")
		case '\\':
			if p.pos >= len(p.src) {
				return "", fmt.Errorf("unfinished escape")
			}
			e := p.src[p.pos]
			p.pos++
			switch e {
			case '\'', '"', '\\', '/':
				s = append(s, e)
			case 'n':
				s = append(s, '\n')
			case 't':
				s = append(s, '\t')
			case 'u':
				if p.pos+4 > len(p.src) {
					return "", fmt.Errorf("unfinished escape")
				}
				r, err := strconv.ParseUint(string(p.src[p.pos:p.pos+4]), 16, 16)
				if err != nil {
					return "", err
				}
				p.pos += 4
				s = utf8.AppendRune(s, rune(r))
			default:
				return "", fmt.Errorf("escape \\%c is not known here", e)
			}
		default:
			s = append(s, c)
		}
	}
	return "", fmt.Errorf("unfinished text")
}
