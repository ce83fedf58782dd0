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
	year, ok0 := number(s[0:4])
	month, ok1 := number(s[5:7])
	day, ok2 := number(s[8:10])
	hour, ok3 := number(s[11:13])
	minute, ok4 := number(s[14:16])
	second, ok5 := number(s[17:19])
	if !ok0 || !ok1 || !ok2 || !ok3 || !ok4 || !ok5 || month < 1 || month > 12 || day < 1 || day > daysIn(year, month) || hour > 23 || minute > 59 || second > 59 {
		return false
	}
	zone := s[19:]
	if zone[0] == '.' {
		n := 1
		for n < len(zone) && digit(zone[n]) {
			n++
		}
		if n == 1 {
			return false
		}
		zone = zone[n:]
	}
	if zone == "Z" {
		return true
	}
	if len(zone) != 6 || zone[0] != '+' && zone[0] != '-' || zone[3] != ':' || zone == "-00:00" {
		return false
	}
	h, ok0 := number(zone[1:3])
	m, ok1 := number(zone[4:6])
	if !ok0 || !ok1 || h > 23 || m > 59 {
		return false
	}
	offset, now := h*60+m, hour*60+minute
	switch {
	case zone[0] == '+' && year == 0 && month == 1 && day == 1:
		return now >= offset
	case zone[0] == '-' && year == 9999 && month == 12 && day == 31:
		return now+offset < 24*60
	}
	return true
}

func number(s string) (n int, ok bool) {
	for i := range len(s) {
		if !digit(s[i]) {
			return 0, false
		}
		n = n*10 + int(s[i]-'0')
	}
	return n, true
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
