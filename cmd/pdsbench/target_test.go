package main

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestTargetsOnThisMachineOnly(t *testing.T) {
	for _, c := range []struct{ url, host, wantHost, wantPort string }{
		{"http://localhost:2583", "", "localhost:2583", "2583"},
		{"http://beta.localhost:2583/", "", "beta.localhost:2583", "2583"},
		{"127.0.0.1:80", "pds.example", "pds.example", "80"},
		{"http://[::1]:99", "", "[::1]:99", "99"},
		{"https://localhost", "", "localhost", "443"},
	} {
		g, err := newTarget(context.Background(), c.url, c.host, false, time.Second)
		if err != nil || g.host != c.wantHost || g.port != c.wantPort {
			t.Errorf("%s: %+v, %v", c.url, g, err)
		}
	}
	for _, url := range []string{"http://192.0.2.1", "http://[2001:db8::1]:80", "http://10.0.0.1:2583", "http://0.0.0.0:1"} {
		if _, err := newTarget(context.Background(), url, "", false, time.Second); !errors.Is(err, ErrRemote) {
			t.Errorf("%s: %v, want ErrRemote", url, err)
		}
		if _, err := newTarget(context.Background(), url, "", true, time.Second); err != nil {
			t.Errorf("%s with --allow-remote: %v", url, err)
		}
	}
	for _, url := range []string{"", "ftp://localhost", "http://", "http://localhost:1/a b", "http://%zz"} {
		if _, err := newTarget(context.Background(), url, "", false, time.Second); err == nil || errors.Is(err, ErrRemote) {
			t.Errorf("%q: %v", url, err)
		}
	}
	if _, err := newTarget(context.Background(), "http://localhost", "a\r\nb: c", false, time.Second); err == nil {
		t.Error("a header was smuggled in")
	}
}
