package syntax

import "time"

// ParseDatetime reads a datetime; ok is what [Datetime] says of it.
func ParseDatetime(s string) (at time.Time, ok bool) {
	if len(s) > Datetime.Max || !isDatetime(s) {
		return time.Time{}, false
	}
	at, err := time.Parse(time.RFC3339Nano, s)
	return at, err == nil
}

// isDatetime takes what RFC 3339, ISO 8601 and WHATWG's HTML have in common: capitals T and Z, a time zone, whole
// seconds, any number of digits behind a full stop, days that the month has, no leap second, no "-00:00", and a year
// from 0 to 9999 also in UTC.
// spec: lexicon#datetime
func isDatetime(s string) bool {
	// 0123-56-89T12:45:78
	if len(s) < 20 || s[4] != '-' || s[7] != '-' || s[10] != 'T' || s[13] != ':' || s[16] != ':' {
		return false
	}
	year := number(s[0:4], 0, 9999)
	month := number(s[5:7], 1, 12)
	if year < 0 || month < 0 {
		return false
	}
	day := number(s[8:10], 1, daysIn(year, month))
	hour := number(s[11:13], 0, 23)
	minute := number(s[14:16], 0, 59)
	if day < 0 || hour < 0 || minute < 0 || number(s[17:19], 0, 59) < 0 {
		return false
	}
	offset, ok := zone(s[19:])
	utc := hour*60 + minute - offset
	switch {
	case !ok:
		return false
	case year == 0 && month == 1 && day == 1:
		return utc >= 0
	case year == 9999 && month == 12 && day == 31:
		return utc < 24*60
	}
	return true
}

// zone reads what stands behind the seconds: perhaps a fraction of one, and how many minutes the time is ahead of UTC.
func zone(s string) (offset int, ok bool) {
	if s[0] == '.' {
		n := 1
		for n < len(s) && digit(s[n]) {
			n++
		}
		if n == 1 {
			return 0, false
		}
		s = s[n:]
	}
	if s == "Z" {
		return 0, true
	}
	if len(s) != 6 || s[0] != '+' && s[0] != '-' || s[3] != ':' || s == "-00:00" {
		return 0, false
	}
	h, m := number(s[1:3], 0, 23), number(s[4:6], 0, 59)
	if h < 0 || m < 0 {
		return 0, false
	}
	if offset = h*60 + m; s[0] == '-' {
		offset = -offset
	}
	return offset, true
}

// number reads digits; what is no number from least to most is -1.
func number(s string, least, most int) int {
	n := 0
	for i := range len(s) {
		if !digit(s[i]) {
			return -1
		}
		n = n*10 + int(s[i]-'0')
	}
	if n < least || n > most {
		return -1
	}
	return n
}

func daysIn(year, month int) int {
	switch month {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	}
	return 31
}
