package store

import (
	"fmt"
	"net/url"
	"path"
	"strings"
)

// s3Location is a parsed location: s3://bucket/prefix?endpoint=https://host:port&region=name&style=path|virtual
type s3Location struct {
	bucket, prefix, host, region string
	secure, virtual              bool
}

func parseS3(location string) (p s3Location, err error) {
	bad := func(why string) (s3Location, error) {
		return p, fmt.Errorf("%w: %.200q: %s", ErrLocation, location, why)
	}
	u, err := url.Parse(location)
	if err != nil || u.Scheme != "s3" || u.User != nil || u.Fragment != "" {
		return bad("want s3://bucket/prefix?endpoint=https://host&region=name")
	}
	if p.bucket = u.Host; len(p.bucket) < 3 || len(p.bucket) > 63 {
		return bad("a bucket's name has 3 to 63 characters")
	}
	if p.prefix = strings.Trim(u.Path, "/"); p.prefix != "" {
		if path.Clean(p.prefix) != p.prefix {
			return bad("the prefix is not a plain path")
		}
		p.prefix += "/"
	}
	q := u.Query()
	endpoint := "https://s3.amazonaws.com"
	for key, values := range q {
		switch key {
		case "endpoint":
			endpoint = values[0]
		case "region":
			p.region = values[0]
		case "style":
			if p.virtual = values[0] == "virtual"; !p.virtual && values[0] != "path" {
				return bad("style is path or virtual")
			}
		default:
			return bad("unknown option " + key)
		}
	}
	e, err := url.Parse(endpoint)
	if err != nil || e.Scheme != "https" && e.Scheme != "http" || e.Host == "" || strings.Trim(e.Path, "/") != "" || e.User != nil {
		return bad("endpoint is not http(s)://host")
	}
	p.host, p.secure = e.Host, e.Scheme == "https"
	return p, nil
}
