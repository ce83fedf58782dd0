package certs

import (
	"context"
	"log/slog"

	"go.uber.org/zap/zapcore"
)

// quietCore takes what certmagic says as details for debugging: what came of an order we say ourselves, in one line.
type quietCore struct{ log *slog.Logger }

func (quietCore) Enabled(zapcore.Level) bool            { return true }
func (c quietCore) With(f []zapcore.Field) zapcore.Core { return quietCore{c.log.With(attrs(f)...)} }
func (quietCore) Sync() error                           { return nil }
func (c quietCore) Write(e zapcore.Entry, f []zapcore.Field) error {
	c.log.Debug("certmagic: "+e.Message, attrs(f)...)
	return nil
}

func (c quietCore) Check(e zapcore.Entry, to *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.log.Enabled(context.Background(), slog.LevelDebug) {
		return to.AddCore(e, c)
	}
	return to
}

func attrs(fields []zapcore.Field) []any {
	m := zapcore.NewMapObjectEncoder()
	for _, f := range fields {
		f.AddTo(m)
	}
	out := make([]any, 0, len(m.Fields))
	for k, v := range m.Fields {
		out = append(out, slog.Any(k, v))
	}
	return out
}
