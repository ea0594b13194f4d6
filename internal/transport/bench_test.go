package transport

import (
	"context"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/butterfly-zmq/butterfly/internal/mtls"
	"github.com/butterfly-zmq/butterfly/internal/mtls/mtlstest"
)

// The benchmarks send two frames of 12 and 200 bytes, an info frame and a small
// request. Both ends are in one process, so a figure is what sender and receiver
// cost together on the cores that there are.

// counting counts messages and says when there have been enough.
type counting struct {
	ignore
	want atomic.Int64
	done chan struct{}
}

func (c *counting) Receive(_ *Peer, batch []Message) {
	if n := int64(len(batch)); c.want.Add(-n) <= 0 {
		close(c.done)
	}
}

// sender keeps a bounded number of messages on their way, by their Notifier.
type sender struct{ tokens chan struct{} }

func (s sender) Sent(error) { s.tokens <- struct{}{} }

func benchEndpoints(b *testing.B, f func(b *testing.B, endpoint string)) {
	for _, e := range []string{"ipc://" + filepath.Join(b.TempDir(), "s"), "tcp://127.0.0.1:0", "tls+tcp://127.0.0.1:0"} {
		scheme, _, _ := strings.Cut(e, "://")
		b.Run(scheme, func(b *testing.B) { f(b, e) })
	}
}

// connected runs a listener and a dialer until the benchmark ends.
func connected(b *testing.B, endpoint string, lo, do Options, lh, dh Handler) *Dialer {
	identity := func(string) *mtls.Identity { return nil }
	if strings.HasPrefix(endpoint, secure) {
		files := mtlstest.NewAuthority(b).Issue("bench", []string{"bench"})
		identity = func(endpoint string) *mtls.Identity {
			files.Peers = map[string][]string{endpoint: {"bench"}}
			id, err := mtls.New(files, nil)
			if err != nil {
				b.Fatal(err)
			}
			return id
		}
	}
	lo.TLS = identity(endpoint)
	l, err := Listen(endpoint, lo, lh)
	if err != nil {
		b.Fatal(err)
	}
	do.TLS = identity(l.Endpoint())
	d, err := NewDialer(l.Endpoint(), do, dh)
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = l.Run(ctx) })
	wg.Go(func() { _ = d.Run(ctx) })
	b.Cleanup(func() { cancel(); wg.Wait() })
	return d
}

func BenchmarkOneWay(b *testing.B) {
	benchEndpoints(b, func(b *testing.B, endpoint string) {
		got := &counting{done: make(chan struct{})}
		got.want.Store(int64(b.N))
		d := connected(b, endpoint, Options{Socket: Pull}, Options{Socket: Push}, got, nil)
		s := sender{tokens: make(chan struct{}, 4096)}
		for range cap(s.tokens) {
			s.Sent(nil)
		}
		m := Message{make([]byte, 12), make([]byte, 200)}
		b.ReportAllocs()
		b.ResetTimer()
		for range b.N {
			<-s.tokens
			if err := d.Send(m, s); err != nil {
				b.Fatal(err)
			}
		}
		<-got.done
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msgs/s")
	})
}

// echo sends back what it receives.
type echo struct{ ignore }

func (echo) Receive(p *Peer, batch []Message) {
	for _, m := range batch {
		_ = p.Send(m, nil)
	}
}

// pingPong sends the next message when the last one came back.
type pingPong struct {
	ignore
	left int
	done chan struct{}
}

func (h *pingPong) Receive(p *Peer, batch []Message) {
	if h.left--; h.left == 0 {
		close(h.done)
		return
	}
	_ = p.Send(append(Message(nil), batch[0]...), nil)
}

func BenchmarkRoundTrip(b *testing.B) {
	benchEndpoints(b, func(b *testing.B, endpoint string) {
		h := &pingPong{left: b.N, done: make(chan struct{})}
		d := connected(b, endpoint, Options{Socket: Router}, Options{Socket: Dealer}, echo{}, h)
		b.ReportAllocs()
		b.ResetTimer()
		if err := d.Send(Message{make([]byte, 12), make([]byte, 200)}, nil); err != nil {
			b.Fatal(err)
		}
		<-h.done
	})
}
