package butterfly_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"
)

// said is a log handler that tells the url of lines.
type said struct {
	mu   sync.Mutex // guards urls
	urls map[string]chan string
}

func newSaid() *said { return &said{urls: make(map[string]chan string)} }

func (s *said) of(message string) chan string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.urls[message] == nil {
		s.urls[message] = make(chan string, 1)
	}
	return s.urls[message]
}

// url waits for the first line with a message that has a url.
func (s *said) url(t *testing.T, message string) string {
	t.Helper()
	select {
	case u := <-s.of(message):
		return u
	case <-time.After(soon):
		t.Fatalf("nobody says %q", message)
		return ""
	}
}

// Handle implements slog.Handler.
func (s *said) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "url" {
			select {
			case s.of(r.Message) <- a.Value.String():
			default:
			}
		}
		return true
	})
	return nil
}

// Enabled implements slog.Handler.
func (s *said) Enabled(context.Context, slog.Level) bool { return true }

// WithAttrs implements slog.Handler.
func (s *said) WithAttrs([]slog.Attr) slog.Handler { return s }

// WithGroup implements slog.Handler.
func (s *said) WithGroup(string) slog.Handler { return s }
