package daemon_test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestProbe(t *testing.T) {
	answer := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/readyz":
			_, _ = w.Write([]byte("ok"))
		case "/it is":
			_, _ = w.Write([]byte("blank"))
		case "/away":
			http.Redirect(w, r, "/readyz", http.StatusFound)
		default:
			http.Error(w, "stage parse:\nno worker", http.StatusServiceUnavailable)
		}
	})
	server, secure := httptest.NewServer(answer), httptest.NewTLSServer(answer)
	defer server.Close()
	defer secure.Close()
	address := server.Listener.Addr().String()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, closed.Close())

	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1") // is not asked
	for at, want := range map[string]struct {
		code int
		errs string
	}{
		server.URL + "/readyz":             {0, ""},
		server.URL + "/it is":              {0, ""},
		server.URL + "/other":              {1, "503 Service Unavailable: stage parse: no worker"},
		server.URL + "/away":               {1, "302 Found"},
		"tcp://" + address:                 {0, ""},
		"tcp://" + closed.Addr().String():  {1, "refused"},
		"http://" + closed.Addr().String(): {1, "refused"},
		"https://" + address:               {1, "does not look like a TLS handshake"},
		secure.URL + "/readyz":             {0, ""},
		secure.URL + "/other":              {1, "503 Service Unavailable: stage parse: no worker"},
		"tcp://127.0.0.1":                  {2, "want http"},
		"readyz":                           {2, "want http"},
	} {
		code, out, errs := runGreeter(t, "probe", at)
		assert.Equal(t, want.code, code, "%s: %s", at, errs)
		assert.Contains(t, errs, want.errs, at)
		assert.Empty(t, out)
	}
	code, _, _ := runGreeter(t, "probe")
	assert.Equal(t, 2, code)
	code, _, _ = runGreeter(t, "probe", "tcp://"+address, "--timeout", "0s")
	assert.Equal(t, 2, code)
}

// What accepts and says nothing is not well.
func TestProbeGivesUp(t *testing.T) {
	mute, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer mute.Close()
	code, _, errs := runGreeter(t, "probe", "http://"+mute.Addr().String()+"/", "--timeout", "50ms")
	assert.Equal(t, 1, code)
	assert.Contains(t, errs, "deadline exceeded")
}
