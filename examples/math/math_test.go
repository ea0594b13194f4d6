package math_test

import (
	"context"
	"io"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/examples/math"
	"github.com/butterfly-zmq/butterfly/pipeline"
	"github.com/butterfly-zmq/butterfly/pipeline/cluster"
	"github.com/butterfly-zmq/butterfly/pipeline/graph"
	"github.com/butterfly-zmq/butterfly/pipeline/pipelinetest"
)

// call asks the worker whose route has the path of the target.
func call(t *testing.T, method, target, body string) (status int, answer string) {
	t.Helper()
	path, _, _ := strings.Cut(target, "?")
	worker := math.Workers()["math."+strings.TrimPrefix(path, "/")]
	require.NotNil(t, worker, target)
	o := pipelinetest.Do(t.Context(), worker, pipeline.NewRequest(method, target, nil, []byte(body)))
	require.NotNil(t, o.Response, target)
	return o.Response.Status, string(o.Response.Body)
}

func TestSums(t *testing.T) {
	for query, want := range map[string]string{
		"1,2,3.5": "6.5", "5": "5", "-1,1": "0", "1e100,1,-1e100": "1", "0.1,0.2,0.3": "0.6", "%201%20,%202": "3", "-0": "0", "1%0A2": "3",
	} {
		status, body := call(t, "GET", "/sum?values="+query, "")
		assert.Equal(t, 200, status, query)
		assert.Equal(t, want, body, query)
	}
	for sent, want := range map[string]string{
		"1\n2\n3.5\n": "6.5", "1,2\r\n3.5\r\n\r\n": "6.5", "1": "1", "\n\n7": "7",
		strings.Repeat("0.1,", 9_999) + "0.1": "1000",
	} {
		status, body := call(t, "POST", "/sum", sent)
		assert.Equal(t, 200, status)
		assert.Equal(t, want, body)
	}
}

func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		method, target, body string
		status               int
		want                 string
	}{
		{"GET", "/sum", "", 400, "values is missing: ask like this: /sum?values=1,2,3.5"},
		{"GET", "/sum?values=", "", 400, "there are no numbers: separate them by commas or line ends"},
		{"POST", "/sum?values=1", "", 400, "there are no numbers"},
		{"GET", "/sum?values=1,,2", "", 400, `number 2 is no decimal number: ""`},
		{"GET", "/sum?values=1,two", "", 400, `number 2 is no decimal number: "two"`},
		{"GET", "/sum?values=NaN", "", 400, "no decimal number"},
		{"GET", "/sum?values=0x10", "", 400, "no decimal number"},
		{"GET", "/sum?values=1_0", "", 400, "no decimal number"},
		{"GET", "/sum?values=e", "", 400, "no decimal number"},
		{"GET", "/sum?values=1e999", "", 400, `number 1 is out of range: "1e999"`},
		{"GET", "/sum?values=1e+3", "", 400, `is no decimal number: "1e 3" (a + in a query means a blank: write %2B)`},
		{"GET", "/sum?values=1e308,1e308", "", 400, "the sum is out of range"},
		{"POST", "/sum", "1\n2\nx" + strings.Repeat("y", 100), 400, "…"},
		{"POST", "/sum", "\xff\x00", 400, `"\xff\x00"`},
		{"PUT", "/sum?values=1", "", 405, "ask by GET or POST, not PUT"},
		{"POST", "/derivative?f=x&at=1", "", 405, "ask by GET, not POST"},
		{"GET", "/derivative?at=1", "", 400, "f is missing: ask like this: /derivative?f=x^3-2*x&at=1.5"},
		{"GET", "/derivative?f=x", "", 400, "at is missing"},
		{"GET", "/derivative?f=x&f=x&at=1", "", 400, "f is given 2 times"},
		{"GET", "/derivative?f=x&at=one", "", 400, `at is no decimal number: "one"`},
		{"GET", "/derivative?f=x+1&at=1", "", 400, `f: column 3: unexpected token Number("1") (a + in a query means a blank: write %2B)`},
		{"GET", "/derivative?f=1/x&at=0", "", 400, "f is not defined at 0"},
		{"GET", "/integral?f=x&to=1", "", 400, "from is missing"},
		{"GET", "/integral?f=x&from=0", "", 400, "to is missing"},
		{"GET", "/integral?f=x&from=0&to=1&tolerance=0", "", 400, "tolerance 0: want 1e-12 to 1"},
		{"GET", "/integral?f=x&from=0&to=1&tolerance=2", "", 400, "tolerance 2: want 1e-12 to 1"},
		{"GET", "/integral?f=x&from=0&to=1&tolerance=x", "", 400, "tolerance is no decimal number"},
	} {
		status, body := call(t, c.method, c.target, c.body)
		assert.Equal(t, c.status, status, c.target)
		assert.Contains(t, body, c.want, c.target)
	}
	status, body := call(t, "HEAD", "/sum?values=1,2", "")
	assert.Equal(t, 200, status)
	assert.Equal(t, "3", body, "for the front to leave out")
}

func TestAJobThatIsNoRequest(t *testing.T) {
	for name, worker := range math.Workers() {
		assert.Equal(t, 400, pipelinetest.Call(t.Context(), worker, []byte("x")).Response.Status, name)
	}
}

func TestAnIntegralWhoseClientLeaves(t *testing.T) {
	ctx, leave := context.WithCancel(t.Context())
	leave()
	r := pipeline.NewRequest("GET", "/integral?f=sin(1/x)&from=1e-4&to=1&tolerance=1e-12", nil, nil)
	assert.Nil(t, pipelinetest.Do(ctx, math.Workers()["math.integral"], r))
}

// serve runs math.yaml in this process for the test, at a free address, and
// returns its URL.
func serve(t *testing.T) string {
	workers := math.Workers()
	g, err := graph.Load([]string{"math.yaml"}, graph.Options{Workers: slices.Collect(maps.Keys(workers))})
	require.NoError(t, err)
	assert.Empty(t, g.Warnings)
	assert.Len(t, g.Stages, len(workers), "a pool for each worker")
	g.Fronts[0].Listen = "127.0.0.1:0"
	service, err := cluster.NewService(cluster.ServiceConfig{Graph: g, Workers: workers})
	require.NoError(t, err)
	whole, err := service.Local()
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- whole.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		assert.NoError(t, <-done)
	})
	for _, ready := range whole.Ready() {
		<-ready
	}
	return "http://" + whole.Addrs()[0].String()
}

// ask asks over a connection of its own.
func ask(t *testing.T, method, url, body string) (status int, answer string) {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	require.NoError(t, err)
	response, err := client.Do(r)
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	got, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response.StatusCode, string(got)
}

// What the README lets curl ask is answered as it shows, by the graph that it
// names.
func TestTheReadmeShowsTrueAnswers(t *testing.T) {
	url := serve(t)
	page, err := os.ReadFile("README.md")
	require.NoError(t, err)
	for kind, want := range map[string]int{"math": 200, "refusals": 400} {
		_, block, found := strings.Cut(string(page), "<!-- answers: "+kind+" -->\n```console\n")
		require.True(t, found, kind)
		block, _, _ = strings.Cut(block, "```")
		calls := regexp.MustCompile(`(?m)^\$ curl (?:-d (\S+) )?'?http://127\.0\.0\.1:8002([^'\n]*)'?\n(.*)$`).FindAllStringSubmatch(block, -1)
		require.Len(t, calls, strings.Count(block, "$"))
		for _, c := range calls {
			method := "GET"
			if c[1] != "" {
				method = "POST"
			}
			status, body := ask(t, method, url+c[2], c[1])
			assert.Equal(t, want, status, c[0])
			assert.Equal(t, c[3], body, c[0])
		}
	}
}

func TestTheRoutesTakeNothingElse(t *testing.T) {
	url := serve(t)
	for _, target := range []string{"/", "/sums?values=1", "/sum/?values=1", "/is_prime?possible_prime=3"} {
		status, _ := ask(t, "GET", url+target, "")
		assert.Equal(t, 404, status, target)
	}
	status, _ := ask(t, "DELETE", url+"/sum?values=1", "")
	assert.Equal(t, 405, status)
}
