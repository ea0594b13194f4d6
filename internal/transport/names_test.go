package transport

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// phoneBook is a Resolver.
type phoneBook struct {
	mu      sync.Mutex // guards the fields below
	answers map[string][]string
	asked   int
}

var errNoSuchHost = errors.New("no such host")

func (b *phoneBook) LookupNetIP(_ context.Context, _, host string) (addrs []netip.Addr, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked++
	for _, a := range b.answers[host] {
		addrs = append(addrs, netip.MustParseAddr(a))
	}
	if len(addrs) == 0 {
		return nil, errNoSuchHost
	}
	return addrs, nil
}

func (b *phoneBook) set(host string, addrs ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.answers[host] = addrs
}

func (b *phoneBook) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.asked
}

func TestWhatANameStandsFor(t *testing.T) {
	var many, most []string
	for i := range MaxAddresses + 8 {
		many = append(many, fmt.Sprintf("10.0.0.%d", i))
		most = append(most, fmt.Sprintf("tcp://10.0.0.%d:7201", i))
	}
	for name, c := range map[string]struct {
		addrs, want []string
	}{
		"one address":                     {[]string{"10.0.0.1"}, []string{"tcp://p:7201"}},
		"one of each family":              {[]string{"::1", "127.0.0.1"}, []string{"tcp://p:7201"}},
		"the same twice, once mapped":     {[]string{"10.0.0.1", "::ffff:10.0.0.1"}, []string{"tcp://p:7201"}},
		"several, sorted":                 {[]string{"10.0.0.2", "10.0.0.1"}, []string{"tcp://10.0.0.1:7201", "tcp://10.0.0.2:7201"}},
		"several of IPv6":                 {[]string{"fd00::2", "fd00::1"}, []string{"tcp://[fd00::1]:7201", "tcp://[fd00::2]:7201"}},
		"IPv6 is left out beside IPv4":    {[]string{"fd00::2", "10.0.0.2", "fd00::1", "10.0.0.1"}, []string{"tcp://10.0.0.1:7201", "tcp://10.0.0.2:7201"}},
		"nobody knows it":                 {nil, []string{"tcp://p:7201"}},
		"more than are taken, but bounds": {many, most[:MaxAddresses]},
	} {
		t.Run(name, func(t *testing.T) {
			n, err := NewNames([]string{"tcp://p:7201"}, Options{Resolver: &phoneBook{answers: map[string][]string{"p": c.addrs}}})
			require.NoError(t, err)
			assert.False(t, n.Fixed())
			assert.Equal(t, c.want, n.resolve(t.Context()))
		})
	}
}

func TestAddressesAndFilesAreNoNames(t *testing.T) {
	endpoints := []string{"tcp://10.0.0.1:1", "tcp://[::1]:1", "ipc:///tmp/x", "inproc://x"}
	n, err := NewNames(endpoints, Options{Resolver: &phoneBook{}})
	require.NoError(t, err)
	assert.True(t, n.Fixed())
	assert.Equal(t, endpoints, n.resolve(t.Context()))
	n, err = NewNames([]string{"tcp://p:1"}, Options{Unfollowed: true, Resolver: &phoneBook{}})
	require.NoError(t, err)
	assert.True(t, n.Fixed(), "nor is one that is not followed")
	assert.Equal(t, []string{"tcp://p:1"}, n.resolve(t.Context()))
	_, err = NewNames([]string{"tcp://*:1"}, Options{})
	assert.ErrorAs(t, err, new(*EndpointError))
	_, err = NewNames(make([]string, MaxAddresses+1), Options{})
	assert.ErrorAs(t, err, new(*EndpointError))
}

func TestNamesAreFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		book := &phoneBook{answers: map[string][]string{"p": {"10.0.0.1"}}}
		n, err := NewNames([]string{"tcp://p:1", "ipc:///tmp/x"}, Options{Resolver: book})
		require.NoError(t, err)
		var told [][]string
		run := start(t, func(ctx context.Context) error {
			n.Run(ctx, func(endpoints []string) { told = append(told, endpoints) })
			return nil
		})
		after := func(d time.Duration) [][]string {
			time.Sleep(d)
			synctest.Wait()
			was := told
			told = nil
			return was
		}
		assert.Equal(t, [][]string{{"tcp://p:1", "ipc:///tmp/x"}}, after(0))
		assert.Empty(t, after(time.Minute), "nothing has changed")
		assert.Equal(t, 13, book.count(), "once every five seconds")

		book.set("p", "10.0.0.1", "10.0.0.2")
		assert.Equal(t, [][]string{{"tcp://10.0.0.1:1", "tcp://10.0.0.2:1", "ipc:///tmp/x"}}, after(lookEvery))
		book.set("p")
		assert.Empty(t, after(time.Minute), "a resolver that fails changes nothing")

		book.set("p", "10.0.0.3", "10.0.0.2")
		n.Look()
		assert.Len(t, after(lookNoSooner), 1, "who has lost a connection need not wait")
		asked := book.count()
		for range 100 {
			n.Look()
			time.Sleep(time.Millisecond)
		}
		assert.LessOrEqual(t, book.count()-asked, 1, "but a proxy that flaps makes no storm")
		run.stop(t)
	})
}
