package dbtest

import (
	"io"
	"log/slog"
	"os"
	"testing"

	"github.com/auroralocus/locus/db/embedded"
)

// Server is a Postgres of one test's own, with fsync on, that the test may kill.
type Server struct {
	t      testing.TB
	dir    string
	server *embedded.Server
}

// Durable starts a server for the test's duration. Its database is empty.
func Durable(t testing.TB) *Server {
	t.Helper()
	s := &Server{t: t, dir: folder(t, "", "locus-durable-")}
	s.Start()
	t.Cleanup(func() {
		if s.server == nil {
			return
		}
		if err := s.server.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// URL is where the server is, the same after a restart.
func (s *Server) URL() string { return s.server.URL }

// Start starts the server again after Kill.
func (s *Server) Start() {
	s.t.Helper()
	server, err := embedded.Start(s.t.Context(), s.dir, slog.New(slog.NewTextHandler(io.Discard, nil)), embedded.WithoutRestart(),
		embedded.Setting("shared_buffers", "16MB"))
	if err != nil {
		s.t.Fatal(err)
	}
	s.server = server
}

// Kill ends all processes of the server with SIGKILL and waits until they are gone.
func (s *Server) Kill() {
	s.t.Helper()
	if err := s.server.Kill(); err != nil {
		s.t.Fatal(err)
	}
	if err := s.server.Stop(); err != nil { // gives the folder free
		s.t.Fatal(err)
	}
}

// folder is where a server of a test keeps its data: t.TempDir's path is long, and closed to other users.
func folder(t testing.TB, in, pattern string) string {
	t.Helper()
	dir, err := os.MkdirTemp(in, pattern)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}
