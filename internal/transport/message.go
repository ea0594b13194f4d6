package transport

// Message is a ZeroMQ message: its frames in order, at least one.
type Message [][]byte

// frameOverhead is what a frame costs beside its bytes: its longest header.
const frameOverhead = 9

// size is what the message counts for in a queue: its bytes and their headers,
// so that many empty frames do not come free.
func (m Message) size() int64 {
	n := int64(len(m)) * frameOverhead
	for _, f := range m {
		n += int64(len(f))
	}
	return n
}

// Notifier is told the fate of one message.
type Notifier interface {
	// Sent is called once: with nil when the message's last byte has been
	// handed to the kernel, with ErrWaiting where Options.TellWaiting asks
	// for that, else with why it may never be. It must not block; it may send.
	Sent(err error)
}

// Handler receives a Listener's or Dialer's events. Calls that concern one peer
// are sequential, different peers call concurrently.
type Handler interface {
	// PeerUp announces a peer, before anything received from it. p may be
	// used at once.
	PeerUp(p *Peer)
	// Receive hands over messages in the order they came, in p's reader
	// goroutine: blocking it stalls this peer only. The frames are the
	// receiver's to keep, the slice batch is not.
	Receive(p *Peer, batch []Message)
	// PeerDown is called once, after the last Receive and after the Notifiers
	// of what p will not send any more. err is never nil; io.EOF stands for a
	// connection that the other side closed in good order.
	PeerDown(p *Peer, err error)
}

// SubscriptionHandler is the Handler of a Pub socket that wants to hear of its
// peers' subscriptions.
type SubscriptionHandler interface {
	Handler
	// Subscribed is called in p's reader goroutine once p's subscription to
	// prefix, which it did not have before, holds. prefix must not be changed.
	Subscribed(p *Peer, prefix []byte)
}

// ignore is the Handler of those who gave none.
type ignore struct{}

func (ignore) PeerUp(*Peer)             {}
func (ignore) Receive(*Peer, []Message) {}
func (ignore) PeerDown(*Peer, error)    {}
