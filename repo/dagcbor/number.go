package dagcbor

// number reads a JSON number, which must be an integer of 64 signed bits by value: 123, 123.0 and 1.23e2 are the same
// one. No float is involved, so every digit counts.
func (p *parser) number() error {
	in, start := p.in, p.i
	i := start
	neg := in[i] == '-'
	if neg {
		i++
	}
	if i >= len(in) || in[i] < '0' || in[i] > '9' {
		return at(ErrJSON, i)
	}
	first := i
	var u uint64
	var over bool
	for ; i < len(in) && in[i]-'0' < 10; i++ {
		u, over = push(u, in[i]-'0', over)
	}
	if in[first] == '0' && i > first+1 {
		return at(ErrJSON, first) // no leading zeros
	}
	if i < len(in) && (in[i] == '.' || in[i]|0x20 == 'e') {
		var err error
		var faulty int
		if u, i, faulty, err = scaled(in, first); err != nil {
			return at(err, faulty)
		}
	} else if over {
		return at(ErrIntRange, start)
	}
	switch {
	case u == 0:
		p.out = append(p.out, 0)
	case neg && u <= 1<<63:
		p.out = AppendHead(p.out, MajorNeg, u-1)
	case !neg && u < 1<<63:
		p.out = AppendHead(p.out, MajorUint, u)
	default:
		return at(ErrIntRange, start)
	}
	p.i = i
	return nil
}

// push appends a decimal digit to u; over says that u does not fit.
func push(u uint64, digit byte, over bool) (uint64, bool) {
	const limit = (1<<64 - 1) / 10
	if u > limit || u == limit && digit > 5 {
		return u, true
	}
	return u*10 + uint64(digit), over
}

// scaled reads digits with a fraction or an exponent (the sign is read, the integer part is known to be well formed)
// and gives the value if it is a whole number.
func scaled(in []byte, i int) (u uint64, end, faulty int, err error) {
	first := i
	var over bool
	// Zeros are only counted until a digit follows: 1.5000 and 1000e-3 must not overflow, however many there are.
	var zeros, fraction int64
	digits, inFraction := 0, false
	for ; i < len(in); i++ {
		c := in[i]
		if c == '.' && !inFraction {
			inFraction, digits = true, 0
			continue
		}
		if c-'0' >= 10 {
			break
		}
		digits++
		if inFraction {
			fraction++
		}
		if c == '0' {
			if u > 0 || over {
				zeros++
			}
			continue
		}
		for ; zeros > 0 && !over; zeros-- {
			u, over = push(u, 0, over)
		}
		zeros = 0
		u, over = push(u, c-'0', over)
	}
	if digits == 0 {
		return 0, i, i, ErrJSON
	}
	var exp int64
	if i < len(in) && in[i]|0x20 == 'e' {
		if exp, i, err = exponent(in, i+1); err != nil {
			return 0, i, i, err
		}
	}
	exp += zeros - fraction
	switch {
	case u == 0 && !over:
		return 0, i, 0, nil
	case exp < 0:
		return 0, i, first, ErrFloat
	case over || exp > 19:
		return 0, i, first, ErrIntRange
	}
	for ; exp > 0; exp-- {
		if u, over = push(u, 0, over); over {
			return 0, i, first, ErrIntRange
		}
	}
	return u, i, 0, nil
}

// exponent reads what follows e. Its size is capped far beyond any input's length, so that no sum of it overflows.
func exponent(in []byte, i int) (exp int64, end int, err error) {
	neg := false
	if i < len(in) && (in[i] == '+' || in[i] == '-') {
		neg = in[i] == '-'
		i++
	}
	first := i
	for ; i < len(in) && in[i]-'0' < 10; i++ {
		if exp < 1<<40 {
			exp = exp*10 + int64(in[i]-'0')
		}
	}
	if i == first {
		return 0, i, ErrJSON
	}
	if neg {
		exp = -exp
	}
	return exp, i, nil
}
