package cluster_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/pipeline"
	"github.com/butterfly-zmq/butterfly/pipeline/cluster"
	"github.com/butterfly-zmq/butterfly/pipeline/graph"
)

// localFront makes a graph of one stage in this process, with more keys for its front.
func localFront(t *testing.T, keys string) (*cluster.LocalGraph, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "graph.yaml")
	require.NoError(t, os.WriteFile(file, []byte("version: 1\nfront:\n  listen: 127.0.0.1:0\n"+keys+
		"routes:\n  - prefix: /\n    stage: echo\nstages:\n  echo:\n    worker: echo\n"), 0o600))
	g, err := graph.Load([]string{file}, graph.Options{Workers: []string{"echo"}})
	require.NoError(t, err)
	s, err := cluster.NewService(cluster.ServiceConfig{Graph: g, Workers: map[string]pipeline.Handler{"echo": upper()[1].Handler}})
	require.NoError(t, err)
	return s.Local()
}

// The front's keys reach the front.
func TestLimitsOfAFrontInTheGraph(t *testing.T) {
	l, err := localFront(t, "  max_requests_per_conn: 2\n  max_conns_per_client: 1\n  drain_delay: 10ms\n")
	require.NoError(t, err)
	start(t, l)
	await(t, l.Ready()[0])
	c := ask(t, l.Addrs()[0], "/1")
	br := bufio.NewReader(c)
	answer := func() *http.Response {
		r, err := http.ReadResponse(br, nil)
		require.NoError(t, err)
		assert.Equal(t, 200, r.StatusCode)
		_, err = io.Copy(io.Discard, r.Body)
		require.NoError(t, err)
		return r
	}
	assert.False(t, answer().Close)
	over, err := http.ReadResponse(bufio.NewReader(ask(t, l.Addrs()[0])), nil)
	require.NoError(t, err)
	assert.Equal(t, http.StatusTooManyRequests, over.StatusCode)
	_, err = io.WriteString(c, "GET /2 HTTP/1.1\r\nHost: h\r\n\r\n")
	require.NoError(t, err)
	assert.True(t, answer().Close)
	require.NoError(t, l.Shutdown(t.Context()))
}

func TestDrainDelayLeavesTimeToDrain(t *testing.T) {
	for _, keys := range []string{"  drain_delay: 21s\n", "  drain_delay: 3s\n  drain_timeout: 4s\n"} {
		_, err := localFront(t, keys)
		require.ErrorContains(t, err, "drain_delay")
	}
	_, err := localFront(t, "  drain_delay: 2s\n  drain_timeout: 4s\n")
	require.NoError(t, err)
}

// What a graph says of proxies before a front reaches it, and its workers.
func TestTrustedProxiesInTheGraph(t *testing.T) {
	for keys, want := range map[string]string{
		"":                                   "",
		"  trusted_proxies: [127.0.0.0/8]\n": "X-FORWARDED-FOR: 192.0.2.1\r\nX-FORWARDED-PROTO: HTTPS\r\nX-FORWARDED-HOST: H\r\n",
		"  trusted_proxies: [127.0.0.1]\n  forwarded: rfc7239\n":                             "FORWARDED: FOR=192.0.2.2;PROTO=HTTP;HOST=\"H\"\r\n",
		"  trusted_proxies: [127.0.0.1]\n  forwarded: none\n":                                "",
		"  trusted_proxies: [10.0.0.0/8]\n":                                                  "X-FORWARDED-FOR: 127.0.0.1\r\nX-FORWARDED-PROTO: HTTP\r\nX-FORWARDED-HOST: H\r\n",
		"  forwarded: x-forwarded\n  request_id_header: X-Id\n  request_id_from: everyone\n": "X-FORWARDED-FOR: 127.0.0.1\r\nX-FORWARDED-PROTO: HTTP\r\nX-FORWARDED-HOST: H\r\nX-ID: MINE\r\n",
	} {
		l, err := localFront(t, keys)
		require.NoError(t, err)
		start(t, l)
		await(t, l.Ready()[0])
		c, err := net.Dial("tcp", l.Addrs()[0].String())
		require.NoError(t, err)
		_, err = io.WriteString(c, "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nX-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https\r\n"+
			"Forwarded: for=192.0.2.2\r\nX-Id: mine\r\n\r\n")
		require.NoError(t, err)
		r, err := http.ReadResponse(bufio.NewReader(c), nil)
		require.NoError(t, err)
		body, err := io.ReadAll(r.Body)
		require.NoError(t, err)
		require.NoError(t, c.Close())
		_, fields, _ := strings.Cut(string(body), "HOST: H\r\n")
		if !strings.Contains(keys, "request_id") {
			fields = strings.Replace(fields, "X-ID: MINE\r\n", "", 1)
		} else {
			assert.Equal(t, "mine", r.Header.Get("X-Id"))
		}
		assert.Equal(t, want+"\r\n", strings.TrimSuffix(fields, " 1"), keys)
		require.NoError(t, l.Shutdown(t.Context()))
	}
}

// What a graph says of pages of other origins and of compression reaches the
// front, and its routes.
func TestCORSAndCompressionInTheGraph(t *testing.T) {
	l, err := localFront(t, "  compress: {min_size: 10, types: [text/*]}\n  cors: {origins: [\"https://a.example\"], max_age: 1h}\n")
	require.NoError(t, err)
	start(t, l)
	await(t, l.Ready()[0])
	ask := func(method string, fields ...string) *http.Response {
		request, err := http.NewRequest(method, "http://"+l.Addrs()[0].String()+"/"+strings.Repeat("abc", 100), nil)
		require.NoError(t, err)
		request.Header.Set("Origin", "https://a.example")
		request.Header.Set("Accept-Encoding", "gzip")
		for i := 0; i < len(fields); i += 2 {
			request.Header.Set(fields[i], fields[i+1])
		}
		r, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(request)
		require.NoError(t, err)
		require.NoError(t, r.Body.Close())
		assert.Equal(t, "https://a.example", r.Header.Get("Access-Control-Allow-Origin"))
		return r
	}
	assert.Equal(t, "gzip", ask("GET").Header.Get("Content-Encoding"))
	preflight := ask("OPTIONS", "Access-Control-Request-Method", "PUT")
	assert.Equal(t, http.StatusNoContent, preflight.StatusCode)
	assert.Equal(t, "3600", preflight.Header.Get("Access-Control-Max-Age"))
	require.NoError(t, l.Shutdown(t.Context()))
}
