package httpload

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func usable() Config {
	return Config{URL: "http://localhost", Connections: 1, Duration: time.Second, Timeout: time.Second}
}

func TestValidate(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Config)
		want   error
	}{
		"no scheme":          {func(c *Config) { c.URL = "localhost:80" }, ErrURL},
		"https":              {func(c *Config) { c.URL = "https://localhost" }, ErrURL},
		"no host":            {func(c *Config) { c.URL = "http:///path" }, ErrURL},
		"method with blank":  {func(c *Config) { c.Method = "GET /" }, ErrMethod},
		"header sans colon":  {func(c *Config) { c.Header = []string{"x"} }, ErrHeader},
		"two lines":          {func(c *Config) { c.Header = []string{"X: y\r\nZ: z"} }, ErrHeader},
		"unbounded":          {func(c *Config) { c.Duration = 0 }, ErrBounds},
		"both bounds":        {func(c *Config) { c.Requests = 1 }, ErrBounds},
		"no connections":     {func(c *Config) { c.Connections = 0 }, ErrNumbers},
		"negative warm-up":   {func(c *Config) { c.Warmup = -1 }, ErrNumbers},
		"negative rate":      {func(c *Config) { c.Rate = -1 }, ErrNumbers},
		"timeout of nothing": {func(c *Config) { c.Timeout = 0 }, ErrNumbers},
		"random sans rate":   {func(c *Config) { c.Random = true }, ErrRandom},
	} {
		t.Run(name, func(t *testing.T) {
			config := usable()
			require.NoError(t, config.Validate())
			c.change(&config)
			assert.ErrorIs(t, config.Validate(), c.want)
			_, err := Run(t.Context(), config)
			assert.ErrorIs(t, err, c.want)
		})
	}
}

func TestValidateReportsEveryProblem(t *testing.T) {
	err := (&Config{URL: "x", Method: "a b"}).Validate()
	for _, want := range []error{ErrURL, ErrMethod, ErrBounds, ErrNumbers} {
		assert.ErrorIs(t, err, want)
	}
}

func TestRequestText(t *testing.T) {
	for name, c := range map[string]struct {
		config        Config
		text, address string
	}{
		"get": {
			Config{URL: "http://host/a?b=c"},
			"GET /a?b=c HTTP/1.1\r\nHost: host\r\n\r\n", "host:80",
		},
		"post": {
			Config{URL: "http://[::1]:8002", Method: "POST", Body: []byte("97")},
			"POST / HTTP/1.1\r\nHost: [::1]:8002\r\nContent-Length: 2\r\n\r\n97", "[::1]:8002",
		},
		"post of nothing": {
			Config{URL: "http://h", Method: "POST"},
			"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", "h:80",
		},
		"own header": {
			Config{URL: "http://h/", Header: []string{"host: other", "X-A: b"}},
			"GET / HTTP/1.1\r\nhost: other\r\nX-A: b\r\n\r\n", "h:80",
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := newRequest(&c.config)
			require.NoError(t, err)
			assert.Equal(t, c.text, string(got.text))
			assert.Equal(t, c.address, got.address)
		})
	}
}
