package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
)

// Inproc is a namespace of inproc endpoints: what is bound in one can be dialed
// in the same one. Connections pass greeting, handshake and framing like those
// of sockets, so that tests over inproc are tests of the others. An Inproc may
// be used concurrently.
type Inproc struct {
	mu    sync.Mutex // guards names
	names map[string]*inprocListener
}

// NewInproc returns an empty namespace.
func NewInproc() *Inproc {
	return &Inproc{names: make(map[string]*inprocListener)}
}

var (
	errNoInproc  = errors.New("inproc endpoints need Options.Inproc")
	errNameInUse = errors.New("the name is in use")
)

func (p *Inproc) listen(name string) (net.Listener, error) {
	if p == nil {
		return nil, errNoInproc
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.names[name] != nil {
		return nil, errNameInUse
	}
	l := &inprocListener{space: p, name: name, conns: make(chan net.Conn), done: make(chan struct{})}
	p.names[name] = l
	return l, nil
}

// dial connects to a listener that is bound, and waits until it accepts.
func (p *Inproc) dial(ctx context.Context, name string) (net.Conn, error) {
	p.mu.Lock()
	l := p.names[name]
	p.mu.Unlock()
	if l == nil {
		return nil, fmt.Errorf("transport: nobody listens on inproc://%s", name)
	}
	ours, theirs := memPipe(name)
	select {
	case l.conns <- theirs:
		return ours, nil
	case <-l.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// inprocListener is a name that is bound.
type inprocListener struct {
	space *Inproc
	name  string
	conns chan net.Conn // to Accept
	done  chan struct{} // closed by Close
	close sync.Once
}

func (l *inprocListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *inprocListener) Close() error {
	l.close.Do(func() {
		l.space.mu.Lock()
		delete(l.space.names, l.name)
		l.space.mu.Unlock()
		close(l.done)
	})
	return nil
}

func (l *inprocListener) Addr() net.Addr { return memAddr(l.name) }
