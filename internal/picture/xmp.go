package picture

import (
	"bytes"
	"encoding/binary"
	"encoding/xml"
	"errors"
	"io"
	"strings"
)

// Names of XMP's properties of a place, in whatever namespace (photoshop, Iptc4xmpCore, Iptc4xmpExt), beside exif:GPS….
var placeNames = map[string]bool{
	"Location": true, "LocationCreated": true, "LocationShown": true, "Sublocation": true, "SubLocation": true, "City": true,
	"State": true, "ProvinceState": true, "Country": true, "CountryCode": true, "CountryName": true, "WorldRegion": true,
}

func isPlace(local string) bool { return strings.HasPrefix(local, "GPS") || placeNames[local] }

// namesPlace is a quick look whether XMP could name a place, in any of its encodings.
func namesPlace(xmp []byte) bool {
	if bytes.IndexByte(xmp, 0) >= 0 {
		xmp = bytes.ReplaceAll(xmp, []byte{0}, nil)
	}
	for _, word := range []string{"GPS", "Location", "Sub", "City", "State", "Country", "WorldRegion"} {
		if bytes.Contains(xmp, []byte(word)) {
			return true
		}
	}
	return false
}

// blank overwrites with blanks; it says whether there was anything else.
func blank(b []byte) bool {
	changed := false
	for i, c := range b {
		changed = changed || c != ' '
		b[i] = ' '
	}
	return changed
}

// clearXMP overwrites the attributes and elements that name a place with blanks, which XML does not mind. What could
// name one and is no XML that can be followed goes as a whole.
func clearXMP(xmp []byte) bool {
	if !namesPlace(xmp) {
		return false
	}
	if bytes.IndexByte(xmp, 0) >= 0 { // UTF-16 or 32, which XMP in a picture should not be
		return blank(xmp)
	}
	changed, err := clearElements(xmp)
	if err != nil {
		return blank(xmp)
	}
	return changed
}

var errXML = errors.New("not XML that can be followed")

func clearElements(xmp []byte) (changed bool, err error) {
	d := xml.NewDecoder(bytes.NewReader(bytes.Clone(xmp)))
	depth, hidden, from := 0, 0, int64(0)
	for {
		start := d.InputOffset()
		token, err := d.RawToken()
		if errors.Is(err, io.EOF) && depth == 0 {
			return changed, nil
		}
		if err != nil {
			return changed, errXML
		}
		end := d.InputOffset()
		switch token := token.(type) {
		case xml.StartElement:
			depth++
			switch {
			case hidden > 0:
			case isPlace(token.Name.Local):
				hidden, from = depth, start
			default:
				cleared, ok := clearAttributes(xmp[start:end])
				if !ok {
					return changed, errXML
				}
				changed = changed || cleared
			}
		case xml.EndElement:
			if depth == 0 {
				return changed, errXML
			}
			if depth == hidden {
				changed = blank(xmp[from:end]) || changed
				hidden = 0
			}
			depth--
		}
	}
}

// clearAttributes overwrites those of a start tag, which the parser took.
func clearAttributes(tag []byte) (changed, ok bool) {
	const space = " \t\r\n"
	i := bytes.IndexAny(tag, space)
	for i >= 0 && i < len(tag) {
		switch {
		case strings.IndexByte(space, tag[i]) >= 0:
			i++
			continue
		case tag[i] == '/' || tag[i] == '>':
			return changed, true
		}
		equals := bytes.IndexByte(tag[i:], '=')
		if equals < 0 {
			return changed, false
		}
		name := strings.TrimRight(string(tag[i:i+equals]), space)
		open := i + equals + 1
		for open < len(tag) && strings.IndexByte(space, tag[open]) >= 0 {
			open++
		}
		if open >= len(tag) || tag[open] != '"' && tag[open] != '\'' {
			return changed, false
		}
		length := bytes.IndexByte(tag[open+1:], tag[open])
		if length < 0 {
			return changed, false
		}
		after := open + 1 + length + 1
		if _, local, cut := strings.Cut(name, ":"); cut && isPlace(local) || !cut && isPlace(name) {
			changed = blank(tag[i:after]) || changed
		}
		i = after
	}
	return changed, true
}

// clearPhotoshop changes the resources of Photoshop that hold metadata of other kinds.
// spec: Adobe Photoshop File Formats, Image Resources
func clearPhotoshop(b []byte) (changed bool) {
	for len(b) >= 12 && string(b[:4]) == "8BIM" {
		id := binary.BigEndian.Uint16(b[4:])
		name := 1 + int(b[6])
		at := 6 + name + name&1
		if at+4 > len(b) {
			return changed
		}
		n := int64(binary.BigEndian.Uint32(b[at:]))
		at += 4
		if n > int64(len(b)-at) {
			return changed
		}
		data := b[at:][:n]
		switch id {
		case 0x0404:
			changed = clearIPTC(data) || changed
		case 0x0422:
			if t, ok := parseTIFF(withoutMark(data)); ok {
				changed = t.clearPlace() || changed
			}
		case 0x0424:
			changed = clearXMP(data) || changed
		}
		b = b[min(len(b), at+int(n+n&1)):]
	}
	return changed
}

// clearIPTC blanks city, sublocation, province, country and the places a picture shows.
// spec: IPTC IIM 4.2, record 2
func clearIPTC(b []byte) (changed bool) {
	for len(b) >= 5 && b[0] == 0x1c {
		n := int(binary.BigEndian.Uint16(b[3:]))
		if n >= 1<<15 || 5+n > len(b) {
			return changed
		}
		if b[1] == 2 {
			switch b[2] {
			case 26, 27, 90, 92, 95, 100, 101:
				changed = blank(b[5:5+n]) || changed
			}
		}
		b = b[5+n:]
	}
	return changed
}
