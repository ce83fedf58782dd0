// Package blobtest starts a real S3 server for tests: versitygw, built from the module proxy by go tool.
package blobtest

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/auroralocus/locus/internal/freeport"
)

// AccessKey and SecretKey open every server that [Start] starts.
const (
	AccessKey = "locus-test"
	SecretKey = "locus-test-secret"
)

// Start builds (once a machine: the build cache keeps it) and starts a server on loopback: http://127.0.0.1:port.
func Start() (endpoint string, stop func(), err error) {
	mod, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "", nil, fmt.Errorf("look for the module: %w", err)
	}
	tools := filepath.Join(filepath.Dir(strings.TrimSpace(string(mod))), "tools", "go.mod")
	out, err := exec.Command("go", "tool", "-modfile="+tools, "-n", "versitygw").CombinedOutput()
	if err != nil {
		return "", nil, fmt.Errorf("build versitygw: %w: %s", err, out)
	}
	dir, err := os.MkdirTemp("", "locus-s3-")
	if err != nil {
		return "", nil, err
	}
	for _, sub := range []string{"data", "meta"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o700); err != nil {
			return "", nil, err
		}
	}
	addr, err := freeport.Address()
	if err != nil {
		return "", nil, err
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	cmd := exec.Command(lines[len(lines)-1], "--access", AccessKey, "--secret", SecretKey, "--port", addr, "--quiet",
		"posix", "--sidecar", filepath.Join(dir, "meta"), filepath.Join(dir, "data"))
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		return "", nil, fmt.Errorf("%s: %w", lines[len(lines)-1], err)
	}
	stop = func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = os.RemoveAll(dir)
	}
	for range 200 {
		if r, err := http.Get("http://" + addr + "/"); err == nil {
			_ = r.Body.Close()
			http.DefaultClient.CloseIdleConnections()
			return "http://" + addr, stop, nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	stop()
	return "", nil, fmt.Errorf("versitygw does not answer: %s", said.String())
}

// Bucket makes a bucket, and gives its location as --blob-store takes it.
func Bucket(ctx context.Context, endpoint, name string) (location string, err error) {
	c, end, err := client(endpoint)
	if err != nil {
		return "", err
	}
	defer end()
	if err := c.MakeBucket(ctx, name, minio.MakeBucketOptions{}); err != nil {
		return "", fmt.Errorf("make bucket %s: %w", name, err)
	}
	return "s3://" + name + "/some/where?endpoint=" + endpoint + "&region=us-east-1", nil
}

// Objects counts what is in all buckets of a server, halves of uploads included.
func Objects(ctx context.Context, endpoint string) (n int, err error) {
	c, end, err := client(endpoint)
	if err != nil {
		return 0, err
	}
	defer end()
	buckets, err := c.ListBuckets(ctx)
	if err != nil {
		return 0, err
	}
	for _, b := range buckets {
		for o := range c.ListObjects(ctx, b.Name, minio.ListObjectsOptions{Recursive: true}) {
			if o.Err != nil {
				return n, o.Err
			}
			n++
		}
		for u := range c.ListIncompleteUploads(ctx, b.Name, "", true) {
			if u.Err != nil {
				return n, u.Err
			}
			n++
		}
	}
	return n, nil
}

// Unfinished lists the objects of a bucket, given by its location, whose uploads were begun and not ended.
func Unfinished(ctx context.Context, location string) (names []string, err error) {
	u, err := url.Parse(location)
	if err != nil {
		return nil, err
	}
	c, end, err := client(u.Query().Get("endpoint"))
	if err != nil {
		return nil, err
	}
	defer end()
	for o := range c.ListIncompleteUploads(ctx, u.Host, "", true) {
		if o.Err != nil {
			return nil, o.Err
		}
		names = append(names, o.Key)
	}
	return names, nil
}

func client(endpoint string) (c *minio.Client, end func(), err error) {
	transport := &http.Transport{}
	c, err = minio.New(strings.TrimPrefix(endpoint, "http://"), &minio.Options{
		Creds: credentials.NewStaticV4(AccessKey, SecretKey, ""), Region: "us-east-1", Transport: transport,
	})
	return c, transport.CloseIdleConnections, err
}
