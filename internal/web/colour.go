package web

import (
	"fmt"
	"math"
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
// spec: WCAG 2.2 relative luminance
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

// legible brings a colour towards black or white until it can be read on the ground.
func legible(c, ground rgb, least float64) rgb {
	towards := black
	if ground.luminance() < 0.18 {
		towards = white
	}
	for step := 0; step <= 50; step++ {
		if m := c.mix(towards, float64(step)/50); readable(m, ground, least) {
			return m
		}
	}
	return towards
}

// readable looks at the colours as they will be written.
func readable(c, ground rgb, least float64) bool {
	a, _ := parseColor(c.String())
	b, _ := parseColor(ground.String())
	return contrast(a, b) >= least
}
