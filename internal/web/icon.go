package web

import "html/template"

// strokes are our icons: lines on a field of 24 by 24.
var strokes = map[string]string{
	"check":    `<path d="m5 12.5 4.5 4.5L19 7.5"/>`,
	"cross":    `<path d="m6.5 6.5 11 11m0-11-11 11"/>`,
	"info":     `<circle cx="12" cy="12" r="8.5"/><path d="M12 11.2v5M12 7.8v.2"/>`,
	"success":  `<circle cx="12" cy="12" r="8.5"/><path d="m8.2 12.3 2.6 2.6 5-5.4"/>`,
	"warning":  `<path d="M12 4.2 3.6 18.8h16.8zM12 10v4m0 2.4v.2"/>`,
	"error":    `<path d="M8.3 3.8h7.4l4.5 4.5v7.4l-4.5 4.5H8.3l-4.5-4.5V8.3zM12 8v5m0 2.8v.2"/>`,
	"lock":     `<rect x="5" y="10.5" width="14" height="9.5" rx="2"/><path d="M8 10.5V8a4 4 0 0 1 8 0v2.5m-4 3.5v2.5"/>`,
	"key":      `<circle cx="8" cy="15.5" r="3.7"/><path d="m10.7 12.8 7.8-7.8m-3 3 2.6 2.6m-5.2 0 1.6 1.6"/>`,
	"passkey":  `<circle cx="9.5" cy="7.5" r="3.5"/><path d="M3.5 19.5c0-4 2.6-6 6-6 1.2 0 2.2.2 3 .6"/><circle cx="17" cy="12.5" r="2.7"/><path d="M17 15.2v5.3m0-1.8h2"/>`,
	"person":   `<circle cx="12" cy="8" r="3.8"/><path d="M4.8 20c.5-4 3.3-6 7.2-6s6.700 2 7.2 6"/>`,
	"people":   `<circle cx="9" cy="8.500" r="3.300"/><path d="M2.800 19.500c.4-3.600 2.800-5.300 6.200-5.300s5.800 1.700 6.200 5.300M15.500 5.500a3.200 3.200 0 0 1 0 6m2.200 3c2 .7 3.200 2.300 3.500 5"/>`,
	"device":   `<rect x="4.500" y="5" width="15" height="10.500" rx="1.500"/><path d="M2.500 19h19"/>`,
	"phone":    `<rect x="7" y="3" width="10" height="18" rx="2"/><path d="M11 18h2"/>`,
	"mail":     `<rect x="3.500" y="5.500" width="17" height="13" rx="2"/><path d="m4 7.500 8 6 8-6"/>`,
	"globe":    `<circle cx="12" cy="12" r="8.500"/><path d="M3.500 12h17M12 3.500c5 5 5 12 0 17-5-5-5-12 0-17"/>`,
	"apps":     `<rect x="4" y="4" width="6.500" height="6.500" rx="1.500"/><rect x="13.500" y="4" width="6.500" height="6.500" rx="1.500"/><rect x="4" y="13.500" width="6.500" height="6.500" rx="1.500"/><circle cx="16.750" cy="16.750" r="3.300"/>`,
	"trash":    `<path d="M4.500 7h15M9.500 7V4.500h5V7m-8 0 1 12.500h9l1-12.500M10.300 10.500v5.500m3.400-5.500v5.500"/>`,
	"download": `<path d="M12 4v11m-4.500-4.500L12 15l4.500-4.500M4.500 19.500h15"/>`,
	"upload":   `<path d="M12 15V4M7.500 8.500 12 4l4.500 4.500M4.500 19.500h15"/>`,
	"shield":   `<path d="M12 3.500 5 6v5.500c0 4.200 2.700 7.300 7 9 4.300-1.700 7-4.800 7-9V6z"/><path d="m8.800 12 2.300 2.300 4.200-4.500"/>`,
	"clock":    `<circle cx="12" cy="12" r="8.500"/><path d="M12 7v5l3.300 2"/>`,
	"out":      `<path d="M13.500 4.500h-7a1.500 1.500 0 0 0-1.500 1.500v12a1.500 1.500 0 0 0 1.500 1.500h7M10.500 12h10m-3.500-3.500 3.500 3.500-3.500 3.500"/>`,
	"arrow":    `<path d="M4.500 12h15m-5.500-5.500 5.500 5.500-5.500 5.500"/>`,
	"next":     `<path d="m9.500 5.500 6.500 6.500-6.500 6.500"/>`,
	"plus":     `<path d="M12 5v14M5 12h14"/>`,
	"eye":      `<path d="M2.500 12c2.500-4.300 5.700-6.400 9.500-6.400s7 2.100 9.500 6.400c-2.500 4.300-5.700 6.400-9.500 6.400S5 16.300 2.500 12z"/><circle cx="12" cy="12" r="2.800"/>`,
	"copy":     `<rect x="8.500" y="8.500" width="11" height="11" rx="2"/><path d="M15.500 8.500v-2a2 2 0 0 0-2-2h-7a2 2 0 0 0-2 2v7a2 2 0 0 0 2 2h2"/>`,
	"at":       `<circle cx="12" cy="12" r="3.600"/><path d="M15.600 8.400v5c0 2.900 4.400 2.700 4.400-1.900a8 8 0 1 0-3.200 6.900"/>`,
	"pen":      `<path d="m5 19 .8-4L15.700 5.100a1.800 1.800 0 0 1 2.600 0l.6.6a1.800 1.800 0 0 1 0 2.600L9 18.200z"/>`,
	"folder":   `<path d="M3.500 18V6.500A1.500 1.500 0 0 1 5 5h4.500l2 2.500H19a1.500 1.500 0 0 1 1.500 1.500v9a1.500 1.500 0 0 1-1.500 1.500H5A1.500 1.500 0 0 1 3.500 18z"/>`,
	"ticket":   `<path d="M3.500 9V6.500h17V9a3 3 0 0 0 0 6v2.500h-17V15a3 3 0 0 0 0-6zM14 7v1.500m0 2.800v1.500m0 2.700V17"/>`,
	"home":     `<path d="M4 11.500 12 4.500l8 7M6.500 10v9.500h11V10M10 19.500v-5.500h4v5.500"/>`,
	"list":     `<path d="M9 6.500h11M9 12h11M9 17.500h11M4.500 6.500h.2M4.500 12h.2M4.500 17.500h.2"/>`,
	"flag":     `<path d="M5.500 20.500v-16M5.500 5c4-2.500 7 2 13 0v8.500c-6 2-9-2.500-13 0"/>`,
	"power":    `<path d="M12 3.500v8M7 6.500a7.500 7.500 0 1 0 10 0"/>`,
}

// icon is one of our icons. It says nothing to screen readers: words stand beside it.
func icon(name string) template.HTML {
	lines, ok := strokes[name]
	if !ok {
		panic("no icon " + name)
	}
	return template.HTML(`<svg class="icon" viewBox="0 0 24 24" width="24" height="24" aria-hidden="true" focusable="false">` + lines + `</svg>`)
}
