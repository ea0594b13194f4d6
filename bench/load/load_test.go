package main

import (
	"encoding/json"
	"flag"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/butterfly-zmq/butterfly/bench/internal/httpload"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestFlagsStandOnEitherSideOfTheURL(t *testing.T) {
	o, err := parse(strings.Fields("--connections 3 http://h/ --rate 10 --header A:b --header C:d --expect-body="), nil)
	require.NoError(t, err)
	assert.Equal(t, httpload.Config{
		URL: "http://h/", Method: "GET", Connections: 3, Rate: 10, Header: []string{"A:b", "C:d"},
		Expect: []byte{}, Duration: 10 * time.Second, Timeout: 10 * time.Second,
	}, o.config)
	assert.Equal(t, 3, o.processors(), "two for the load, one for the pacer")
}

func TestMistakesOfTheCommandLine(t *testing.T) {
	for line, want := range map[string]string{
		"":                         "give one URL, not 0",
		"http://a http://b":        "give one URL, not 2",
		"http://a --nothing":       "not defined: -nothing",
		"http://a --threads 0":     "--threads must be at least 1",
		"http://a --connections 0": "connections must be at least 1",
		"ftp://a":                  "the URL must be http",
	} {
		var help strings.Builder
		_, err := parse(strings.Fields(line), &help)
		assert.ErrorContains(t, err, want, line)
		assert.Empty(t, help.String(), line)
	}
}

func TestHelpNamesEveryFlag(t *testing.T) {
	var help strings.Builder
	_, err := parse([]string{"--help"}, &help)
	require.ErrorIs(t, err, flag.ErrHelp)
	assert.Contains(t, help.String(), "usage: load [flags] URL")
	assert.Contains(t, help.String(), "-expect-body")
}

func TestRunReportsForPeopleAndAsJSON(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("yes"))
	}))
	defer server.Close()
	for _, format := range []string{"", "--json"} {
		o, err := parse(strings.Fields("--requests 100 --connections 2 --expect-body yes "+format+" "+server.URL), nil)
		require.NoError(t, err)
		var out strings.Builder
		require.NoError(t, run(t.Context(), o, &out))
		if format == "" {
			assert.Regexp(t, `(?m)^status 200 +100$`, out.String())
			continue
		}
		var report httpload.Report
		require.NoError(t, json.Unmarshal([]byte(out.String()), &report))
		assert.EqualValues(t, 100, report.Good())
	}
}

func TestARunWithoutAGoodAnswerFails(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	o, err := parse([]string{"--requests", "1", "--expect-body", "yes", server.URL}, nil)
	require.NoError(t, err)
	var out strings.Builder
	assert.ErrorIs(t, run(t.Context(), o, &out), errNothing)
	assert.Contains(t, out.String(), "failed: body", "the report comes all the same")
}
