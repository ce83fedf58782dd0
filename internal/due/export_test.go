package due

import (
	"context"
	"time"
)

// Hasten has a book ask more often than it does outside of tests.
func (b *Book) Hasten() { b.askEvery = 20 * time.Millisecond }

// Ask is one question.
func (b *Book) Ask(ctx context.Context) error { return b.ask(ctx) }
