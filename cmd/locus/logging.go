package main

import (
	"cmp"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"
)

type logFlags struct {
	Level  slog.Level `help:"debug, info, warn or error. A hang-up (SIGHUP) reads it again from the configuration file." default:"info" env:"LOCUS_LOG_LEVEL"`
	Format string     `help:"text or json." enum:"text,json" default:"text" env:"LOCUS_LOG_FORMAT"`
	File   string     `placeholder:"FILE" help:"File that the log is added to, instead of standard error. A hang-up (SIGHUP) opens it anew, so that it can be moved away." env:"LOCUS_LOG_FILE" type:"path"`
}

// logs are where a process writes, and how much. What of it can be changed while it runs is changed here.
type logs struct {
	*slog.Logger
	level *slog.LevelVar
	file  *logFile               // nil: standard error
	fixed func(flag string) bool // the command line says it
	// counted is how much was written at the levels that matter.
	counted *calmness
	said    *configured
	again   func() (*configured, error) // reads the configuration file anew
}

// open makes the log.
func (f logFlags) open() (*logs, error) {
	l := &logs{level: new(slog.LevelVar)}
	l.level.Set(f.Level)
	var out io.Writer = os.Stderr
	if f.File != "" {
		l.file = &logFile{path: f.File}
		if err := l.file.reopen(); err != nil {
			return nil, fmt.Errorf("--log-file or LOCUS_LOG_FILE: %w", err)
		}
		out = l.file
	}
	opts := &slog.HandlerOptions{Level: l.level}
	var below slog.Handler = slog.NewTextHandler(out, opts)
	if f.Format == "json" {
		below = slog.NewJSONHandler(out, opts)
	}
	calm := newCalm(below, func(d time.Duration, f func()) { time.AfterFunc(d, f) })
	l.Logger, l.counted = slog.New(calm), calm.calmness
	return l, nil
}

// setLevel reads a level as the environment has it; "" is the default.
func (l *logs) setLevel(text string) error {
	var level slog.Level
	if err := level.UnmarshalText([]byte(cmp.Or(text, "info"))); err != nil {
		return fmt.Errorf("LOCUS_LOG_LEVEL: %q is none of debug, info, warn, error", text)
	}
	l.level.Set(level)
	return nil
}

// logFile is a file that can be moved away: it is opened anew under its name when somebody asks for it.
type logFile struct {
	path string

	mu   sync.Mutex
	file *os.File
}

func (f *logFile) reopen() error {
	file, err := os.OpenFile(f.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o640)
	if err != nil {
		return err // the old one goes on
	}
	f.mu.Lock()
	was := f.file
	f.file = file
	f.mu.Unlock()
	if was != nil {
		_ = was.Close()
	}
	return nil
}

func (f *logFile) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.file.Write(p)
}
