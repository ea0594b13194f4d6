package cluster_test

import (
	"bytes"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/httpfront"
	"github.com/butterfly-zmq/butterfly/internal/transport"
	"github.com/butterfly-zmq/butterfly/loopback"
	"github.com/butterfly-zmq/butterfly/pipeline/cluster"
)

// What a front admits waits for the proxy; no queue on the way has a smaller
// bound of its own, whether the proxy is away or comes.
func TestWhatAFrontAdmitsFindsRoomOnItsWay(t *testing.T) {
	const requests, size = 9, 8 << 20 // more than a connection's queue takes by default
	o := transport.Options{Inproc: transport.NewInproc()}
	front, err := cluster.NewFront(cluster.FrontConfig{
		HTTP:  httpfront.Config{Listen: "127.0.0.1:0"},
		Table: loopback.TableConfig{MaxPendingBytes: requests * (size + 1024)},
		Proxy: "inproc://up", Loopback: "inproc://loopback", Interrupt: "inproc://interrupt",
		Transport: o,
	})
	require.NoError(t, err)
	start(t, front)
	await(t, front.Ready())
	statuses := make(chan int, requests)
	for range requests {
		go func() {
			client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
			r, err := client.Post("http://"+front.Addr().String(), "", bytes.NewReader(make([]byte, size)))
			if err != nil {
				statuses <- 0
				return
			}
			_ = r.Body.Close()
			statuses <- r.StatusCode
		}()
	}
	router := o
	router.Socket = transport.Router
	got := make(answers, requests)
	select {
	case status := <-statuses:
		require.Fail(t, "a request does not wait", "status %d", status)
	case <-time.After(time.Second): // nothing is to happen
	}
	proxy, err := transport.Listen("inproc://up", router, got)
	require.NoError(t, err)
	background(t, proxy.Run)
	for range requests {
		select {
		case m := <-got:
			assert.Greater(t, len(m[1]), size)
		case status := <-statuses:
			require.Fail(t, "a request did not find room", "status %d", status)
		}
	}
}
