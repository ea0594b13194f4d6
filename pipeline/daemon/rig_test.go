package daemon_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/butterfly-zmq/butterfly/pipeline"
	"github.com/butterfly-zmq/butterfly/pipeline/daemon"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// fasthttp keeps the time of its Date header in a goroutine for ever.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		// The runtime's own, from the first signal.Notify on.
		goleak.IgnoreAnyFunction("os/signal.loop"))
}

// soon is the patience of tests: longer than anything takes.
const soon = 20 * time.Second

// tick is how often what nobody tells is looked at.
const tick = 5 * time.Millisecond

// oneStage returns a program whose pipeline is h.
func oneStage(h pipeline.HandlerFunc) *daemon.App {
	return &daemon.App{
		Name:    "program",
		Workers: map[string]pipeline.Handler{"work": h},
		Stages:  []daemon.Stage{{Name: "work"}},
	}
}

// printed collects what a program prints, and says when it holds a text.
type printed struct {
	mu   sync.Mutex // guards the fields below
	text strings.Builder
	news chan struct{} // closed and replaced when something comes
}

func newPrinted() *printed { return &printed{news: make(chan struct{})} }

func (p *printed) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.news)
	p.news = make(chan struct{})
	return p.text.Write(b)
}

func (p *printed) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
}

// says waits for a word that begins with prefix and returns the rest of it.
func (p *printed) says(t *testing.T, prefix string) string {
	t.Helper()
	timeout := time.After(soon)
	for {
		p.mu.Lock()
		_, rest, found := strings.Cut(p.text.String(), prefix)
		news := p.news
		p.mu.Unlock()
		if found && strings.ContainsAny(rest, " \n") {
			return rest[:strings.IndexAny(rest, " \n")]
		}
		select {
		case <-news:
		case <-timeout:
			t.Fatalf("%q is not printed, but\n%s", prefix, p)
		}
	}
}

// call is a program that runs.
type call struct {
	stdout, stderr *printed
	code           chan int
}

func execute(ctx context.Context, app *daemon.App, args ...string) *call {
	c := &call{newPrinted(), newPrinted(), make(chan int, 1)}
	go func() { c.code <- app.Execute(ctx, args, c.stdout, c.stderr) }()
	return c
}

// ends waits for the program's exit code.
func (c *call) ends(t *testing.T) int {
	t.Helper()
	select {
	case code := <-c.code:
		return code
	case <-time.After(soon):
		require.Fail(t, "the program does not end", c.stderr.String())
		panic("unreachable")
	}
}
