package certs

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/libdns/libdns"
	"github.com/miekg/dns"
)

// updateTime bounds one message to a name server.
const updateTime = 15 * time.Second

var tsigKinds = []string{"hmac-sha256", "hmac-sha384", "hmac-sha512", "hmac-sha224"}

// tsigKind is an algorithm as messages name it, "" for what is none.
func tsigKind(name string) string {
	switch strings.TrimSuffix(strings.ToLower(name), ".") {
	case "", "hmac-sha256":
		return dns.HmacSHA256
	case "hmac-sha384":
		return dns.HmacSHA384
	case "hmac-sha512":
		return dns.HmacSHA512
	case "hmac-sha224":
		return dns.HmacSHA224
	}
	return ""
}

// update changes a zone by messages to its name server: BIND, Knot, PowerDNS, NSD and others take them.
// spec: RFC 2136, RFC 8945
type update struct{ DNS }

// AppendRecords implements libdns.RecordAppender.
func (u update) AppendRecords(ctx context.Context, zone string, records []libdns.Record) ([]libdns.Record, error) {
	return u.send(ctx, zone, records, func(m *dns.Msg, rr dns.RR) { m.Insert([]dns.RR{rr}) })
}

// DeleteRecords implements libdns.RecordDeleter.
func (u update) DeleteRecords(ctx context.Context, zone string, records []libdns.Record) ([]libdns.Record, error) {
	return u.send(ctx, zone, records, func(m *dns.Msg, rr dns.RR) { m.Remove([]dns.RR{rr}) })
}

func (u update) send(ctx context.Context, zone string, records []libdns.Record, add func(*dns.Msg, dns.RR)) ([]libdns.Record, error) {
	m := new(dns.Msg)
	m.SetUpdate(dns.Fqdn(zone))
	for _, r := range records {
		one := r.RR()
		if one.Type != "TXT" {
			return nil, fmt.Errorf("%w: a %s record", ErrConfig, one.Type)
		}
		name := dns.Fqdn(libdns.AbsoluteName(one.Name, zone))
		add(m, &dns.TXT{Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: uint32(one.TTL.Seconds())}, Txt: []string{one.Data}})
	}
	c := dns.Client{Net: "tcp", Timeout: updateTime}
	if u.KeyName != "" {
		name := dns.Fqdn(strings.ToLower(u.KeyName))
		c.TsigSecret = map[string]string{name: u.KeySecret}
		m.SetTsig(name, tsigKind(u.KeyKind), 300, time.Now().Unix())
	}
	answer, _, err := c.ExchangeContext(ctx, m, u.Server)
	if err != nil {
		return nil, fmt.Errorf("name server %s: %w", u.Server, err)
	}
	if answer.Rcode != dns.RcodeSuccess {
		return nil, fmt.Errorf("name server %s refuses to change zone %s: %s", u.Server, zone, dns.RcodeToString[answer.Rcode])
	}
	return records, nil
}
