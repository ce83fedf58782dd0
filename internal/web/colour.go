package web

import (
	"fmt"
	"math"
	"slices"
	"strconv"
)

// rgb is a colour, each part from 0 to 1.
type rgb [3]float64

// parseColor reads #rrggbb.
func parseColor(s string) (rgb, bool) {
	if len(s) != 7 || s[0] != '#' {
		return rgb{}, false
	}
	n, err := strconv.ParseUint(s[1:], 16, 32)
	if err != nil {
		return rgb{}, false
	}
	return rgb{float64(n>>16) / 255, float64(n>>8&0xff) / 255, float64(n&0xff) / 255}, true
}

func (c rgb) String() string {
	return fmt.Sprintf("#%02x%02x%02x", byte(math.Round(c[0]*255)), byte(math.Round(c[1]*255)), byte(math.Round(c[2]*255)))
}

// luminance is how bright a colour is to the eye.
//
// It is the relative luminance of WCAG 2.2.
func (c rgb) luminance() float64 {
	l := 0.0
	for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
		x := c[i]
		if x <= 0.04045 {
			x /= 12.92
		} else {
			x = math.Pow((x+0.055)/1.055, 2.4)
		}
		l += weight * x
	}
	return l
}

// contrast is from 1 (the same) to 21 (black on white).
func contrast(a, b rgb) float64 {
	x, y := a.luminance(), b.luminance()
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

func (c rgb) mix(other rgb, part float64) rgb {
	var out rgb
	for i := range c {
		out[i] = c[i]*(1-part) + other[i]*part
	}
	return out
}

var black, white = rgb{0, 0, 0}, rgb{1, 1, 1}

// on is the text colour on a ground: white if that can be read, for most colours look better with it, else black.
func on(ground rgb) rgb {
	if contrast(ground, white) >= 4.5 {
		return white
	}
	return black
}

// legible makes a colour darker or brighter, in its own hue, until it can be read on all of the grounds.
func legible(c rgb, least float64, grounds ...rgb) rgb {
	h, s, l := c.hsl()
	end := 0.0
	if grounds[0].luminance() < 0.18 {
		end = 1
	}
	for step := 0; step <= 50; step++ {
		m := fromHSL(h, s, l+(end-l)*float64(step)/50)
		if !slices.ContainsFunc(grounds, func(g rgb) bool { return !readable(m, g, least) }) {
			return m
		}
	}
	return on(grounds[0])
}

// hsl is hue (0 to 6), saturation and lightness.
func (c rgb) hsl() (h, s, l float64) {
	hi, lo := max(c[0], c[1], c[2]), min(c[0], c[1], c[2])
	l, d := (hi+lo)/2, hi-lo
	if d == 0 {
		return 0, 0, l
	}
	switch hi {
	case c[0]:
		h = math.Mod((c[1]-c[2])/d+6, 6)
	case c[1]:
		h = (c[2]-c[0])/d + 2
	default:
		h = (c[0]-c[1])/d + 4
	}
	return h, d / (1 - math.Abs(2*l-1)), l
}

func fromHSL(h, s, l float64) rgb {
	d := s * (1 - math.Abs(2*l-1))
	x, low := d*(1-math.Abs(math.Mod(h, 2)-1)), l-d/2
	part := [6]rgb{{d, x, 0}, {x, d, 0}, {0, d, x}, {0, x, d}, {x, 0, d}, {d, 0, x}}[int(h)%6]
	return rgb{part[0] + low, part[1] + low, part[2] + low}
}

// readable looks at the colours as they will be written.
func readable(c, ground rgb, least float64) bool {
	a, _ := parseColor(c.String())
	b, _ := parseColor(ground.String())
	return contrast(a, b) >= least
}
