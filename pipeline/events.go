package pipeline

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Heartbeat is how often Events sends a comment while there is no event, so that
// neither a front nor anybody between it and the client takes the stream for
// dead.
const Heartbeat = 15 * time.Second

// Event is a server-sent event, of the text/event-stream format of HTML. Its
// zero fields are left out; one with nothing but an ID or a Retry tells the
// client that without an event.
type Event struct {
	// ID is what a client that connects again sends as Last-Event-ID. It holds
	// no line break and no NUL.
	ID string
	// Name is the event's type; "" is message. It holds no line break.
	Name string
	// Data is the event's text, of any number of lines.
	Data string
	// Retry is how long a client is to wait before it connects again, in whole
	// milliseconds.
	Retry time.Duration
}

// Events answers the client with server-sent events: what send gives to its
// EventWriter, and comments in between. The head leaves at once. In all else it
// is Stream.
func Events(send func(ctx context.Context, w *EventWriter) error) Result {
	head := &Response{Header: Header{
		{Name: "Content-Type", Value: "text/event-stream"},
		{Name: "Cache-Control", Value: "no-store"},
	}}
	return Stream(head, func(ctx context.Context, to *StreamWriter) error {
		if err := to.Flush(); err != nil {
			return err
		}
		w := &EventWriter{to: to, at: time.Now()}
		defer w.beat(ctx)()
		return send(ctx, w)
	})
}

// EventWriter sends events. It is safe for concurrent use.
type EventWriter struct {
	mu sync.Mutex // guards all below
	to *StreamWriter
	at time.Time // when something was sent last
}

// EventError says what of an event cannot travel.
type EventError struct{ Field, Value string }

func (e *EventError) Error() string {
	return fmt.Sprintf("pipeline: the %s %q of an event holds a line break or NUL", e.Field, e.Value)
}

// Send sends an event. It blocks while the client does not keep up. The error is
// an *EventError, or that of StreamWriter.Write.
func (w *EventWriter) Send(e Event) error {
	text, err := e.append(nil)
	if err != nil {
		return err
	}
	return w.write(text)
}

// Comment sends a comment, which clients ignore: one line for each of text's.
func (w *EventWriter) Comment(text string) error {
	return w.write(append(appendLines(nil, ":", text), '\n'))
}

func (w *EventWriter) write(text []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, err := w.to.Write(text)
	w.at = time.Now()
	return err
}

// append appends the event as it travels.
func (e *Event) append(b []byte) ([]byte, error) {
	switch {
	case strings.ContainsAny(e.ID, "\r\n\x00"):
		return nil, &EventError{"ID", e.ID}
	case strings.ContainsAny(e.Name, "\r\n\x00"):
		return nil, &EventError{"name", e.Name}
	}
	if e.Name != "" {
		b = append(append(append(b, "event: "...), e.Name...), '\n')
	}
	if e.ID != "" {
		b = append(append(append(b, "id: "...), e.ID...), '\n')
	}
	if e.Retry > 0 {
		b = append(strconv.AppendInt(append(b, "retry: "...), e.Retry.Milliseconds(), 10), '\n')
	}
	if e.Data != "" {
		b = appendLines(b, "data: ", e.Data)
	}
	return append(b, '\n'), nil
}

var oneBreak = strings.NewReplacer("\r\n", "\n", "\r", "\n")

// appendLines appends each line of text behind a prefix.
func appendLines(b []byte, prefix, text string) []byte {
	for line := range strings.SplitSeq(oneBreak.Replace(text), "\n") {
		b = append(append(append(b, prefix...), line...), '\n')
	}
	return b
}

// beat sends comments while nothing else is sent, until the function that it
// returns has returned.
func (w *EventWriter) beat(ctx context.Context) (stop func()) {
	stopped := make(chan struct{})
	var beats sync.WaitGroup
	beats.Go(func() {
		tick := time.NewTicker(Heartbeat / 3)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				w.beatOnce()
			case <-stopped:
				return
			case <-ctx.Done():
				return
			}
		}
	})
	return func() {
		close(stopped)
		beats.Wait()
	}
}

// beatOnce sends a comment if it is time for one. An error is the next Send's,
// too.
func (w *EventWriter) beatOnce() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if time.Since(w.at) >= Heartbeat*2/3 {
		_, _ = w.to.Write([]byte(":\n\n"))
		w.at = time.Now()
	}
}
