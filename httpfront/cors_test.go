package httpfront

import (
	"net/http"
	"testing"
	"time"

	"github.com/butterfly-zmq/butterfly/internal/httptext"
	"github.com/butterfly-zmq/butterfly/internal/wire"
	"github.com/butterfly-zmq/butterfly/loopback"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func policy(t *testing.T, c CORS) *CORSPolicy {
	t.Helper()
	p, err := NewCORSPolicy(c)
	require.NoError(t, err)
	return p
}

func TestOriginsOfAPolicy(t *testing.T) {
	p := policy(t, CORS{Origins: []string{"https://app.example", "https://*.example.com", "http://*.example.com:8080", "null"}})
	for origin, allowed := range map[string]bool{
		"https://app.example": true, "http://app.example": false, "https://app.example:443": false, "https://APP.example": false,
		"https://a.example.com": true, "https://a.b.example.com": true, "https://example.com": false, "https://.example.com": false,
		"https://evil.com/.example.com": false, "https://evil.com#.example.com": false, "https://a@b.example.com": false,
		"https://a.example.com.evil.com": false, "https://aexample.com": false, "https://a.example.com:8080": false,
		"http://a.example.com:8080": true, "null": true, "": false, "*": false, "https://*.example.com": true,
	} {
		if origin == "https://*.example.com" { // the pattern itself: no page has such an origin
			continue
		}
		assert.Equal(t, allowed, p.allows([]byte(origin)) == origin && origin != "", origin)
	}
	assert.Equal(t, "*", policy(t, CORS{Origins: []string{"*"}}).allows([]byte("https://any")))
	assert.Empty(t, policy(t, CORS{Origins: []string{"*"}}).allows(nil))
}

func TestBadPolicies(t *testing.T) {
	for _, c := range []CORS{
		{}, {Origins: []string{"*"}, Credentials: true}, {Origins: []string{"https://a"}, Credentials: true, Expose: []string{"*"}},
		{Origins: []string{"https://a"}, MaxAge: -1}, {Origins: []string{"https://a"}, Headers: []string{"a b"}},
		{Origins: []string{"https://a"}, Methods: []string{"GET\r\n"}}, {Origins: []string{"https://a"}, Expose: []string{""}, Headers: []string{"", ""}},
	} {
		_, err := NewCORSPolicy(c)
		assert.Error(t, err, "%+v", c)
	}
}

// corsOf returns the fields of an answer that browsers look at.
func corsOf(r reply) map[string]string {
	fields := map[string]string{}
	for _, name := range []string{"Allow-Origin", "Allow-Credentials", "Allow-Methods", "Allow-Headers", "Expose-Headers", "Max-Age"} {
		if v := r.Header.Values("Access-Control-" + name); len(v) == 1 {
			fields[name] = v[0]
		} else if len(v) > 1 {
			fields[name] = "twice"
		}
	}
	return fields
}

func TestPreflightsNeedNoWorker(t *testing.T) {
	worked := 0
	r := start(t, Config{CORS: policy(t, CORS{
		Origins: []string{"https://app.example"}, Headers: []string{"Authorization", "X-Y"}, Expose: []string{"X-Z"},
		Credentials: true, MaxAge: 90 * time.Second,
	})}, func(r *rig, j *loopback.Job) error {
		worked++
		return echo(r, j)
	})
	c := r.dial()
	ask := func(fields string) reply {
		c.send("OPTIONS /x HTTP/1.1\r\nHost: h\r\n" + fields + "\r\n")
		return c.read("OPTIONS")
	}
	answer := ask("Origin: https://app.example\r\nAccess-Control-Request-Method: DELETE\r\nAccess-Control-Request-Headers: x-y\r\n")
	require.Equal(t, 204, answer.StatusCode)
	require.Equal(t, map[string]string{
		"Allow-Origin": "https://app.example", "Allow-Credentials": "true", "Allow-Methods": "DELETE",
		"Allow-Headers": "Authorization, X-Y", "Max-Age": "90",
	}, corsOf(answer))
	require.ElementsMatch(t, []string{"Access-Control-Request-Method, Access-Control-Request-Headers", "Origin"}, answer.Header.Values("Vary"))
	require.Empty(t, answer.Header.Get("Content-Length"))

	answer = ask("Origin: https://evil.example\r\nAccess-Control-Request-Method: GET\r\n")
	require.Equal(t, 403, answer.StatusCode)
	require.Empty(t, corsOf(answer))
	require.Contains(t, answer.Header.Values("Vary"), "Origin")
	require.Zero(t, worked)

	// What is no preflight goes on.
	require.Equal(t, "OPTIONS /x ", ask("Origin: https://app.example\r\n").body)
	require.Equal(t, "OPTIONS /x ", ask("Access-Control-Request-Method: GET\r\n").body)
	require.Equal(t, 2, worked)
}

func TestAnswersToPagesOfOtherOrigins(t *testing.T) {
	for name, tt := range map[string]struct {
		cors   CORS
		origin string
		want   map[string]string
		vary   bool
	}{
		"allowed":     {CORS{Origins: []string{"https://a", "https://b"}, Expose: []string{"X", "Y"}}, "https://b", map[string]string{"Allow-Origin": "https://b", "Expose-Headers": "X, Y"}, true},
		"credentials": {CORS{Origins: []string{"https://a"}, Credentials: true}, "https://a", map[string]string{"Allow-Origin": "https://a", "Allow-Credentials": "true"}, true},
		"not allowed": {CORS{Origins: []string{"https://a"}}, "https://c", map[string]string{}, true},
		"no page":     {CORS{Origins: []string{"https://a"}}, "", map[string]string{}, true},
		"every one":   {CORS{Origins: []string{"*"}, Expose: []string{"*"}}, "https://c", map[string]string{"Allow-Origin": "*", "Expose-Headers": "*"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			same := httptext.NewText(200, "same")
			same.Header.Add("access-control-allow-origin", "https://handlers.own")
			same.Header.Add("Vary", "Accept")
			r := start(t, Config{CORS: policy(t, tt.cors), LivePath: "/livez", MaxTarget: 50}, func(r *rig, j *loopback.Job) error {
				switch j.Payload.(*httptext.Request).Target {
				case "/stream":
					r.part(j, 0, wire.Stream|wire.StreamEnd, &httptext.Opening{Response: same})
				case "/fail":
					return loopback.ErrFull
				default:
					r.reply(j, same)
				}
				return nil
			})
			c := r.dial()
			origin := ""
			if tt.origin != "" {
				origin = "Origin: " + tt.origin + "\r\n"
			}
			for target, status := range map[string]int{
				"/": 200, "/stream": 200, "/fail": 503, "/livez": 200, "/01234567890123456789012345678901234567890123456789": 414,
			} {
				c.send("GET " + target + " HTTP/1.1\r\nHost: h\r\n" + origin + "\r\n")
				answer := c.read("GET")
				require.Equal(t, status, answer.StatusCode, target)
				require.Equal(t, tt.want, corsOf(answer), target)
				h := httptext.Header{}
				for _, v := range answer.Header.Values("Vary") {
					h.Add("Vary", v)
				}
				before := len(h)
				addVary(&h, "Origin")
				require.Equal(t, tt.vary, len(h) == before, target)
			}
			require.Len(t, same.Header, 3)

			// Errors of requests whose head is refused have them too.
			c.send("GET / HTTP/1.1\r\nHost: h\r\nContent_Length: 1\r\n" + origin + "\r\n")
			answer := c.read("GET")
			require.Equal(t, 400, answer.StatusCode)
			require.Equal(t, tt.want, corsOf(answer))
		})
	}
}

// The policy is that of the route that would take the request, not that of one
// for OPTIONS.
func TestPoliciesOfRoutes(t *testing.T) {
	front := policy(t, CORS{Origins: []string{"https://front"}})
	own := policy(t, CORS{Origins: []string{"https://own"}, Headers: []string{"*"}, Methods: []string{"PUT", "GET"}})
	for _, cfg := range []Config{{}, {CORS: front}} {
		var table *loopback.Table
		answers := stage(func(j *loopback.Job) error {
			return table.Answer(loopback.Answer{Info: j.Info, Payload: httptext.NewText(200, "x")}, nil)
		})
		cfg.Route = func(req *httptext.Request) (Route, error) {
			switch {
			case req.Method == "PUT" && req.Target == "/own":
				return Route{Stage: answers, CORS: own}, nil
			case req.Method == "DELETE":
				return Route{}, &StatusError{Status: 405, Message: "no", Allow: "PUT"}
			}
			return Route{Stage: answers}, nil
		}
		r := start(t, cfg, nil)
		table = r.table
		c := r.dial()
		ask := func(target, method, origin, fields string) reply {
			c.send("OPTIONS " + target + " HTTP/1.1\r\nHost: h\r\nOrigin: " + origin + "\r\nAccess-Control-Request-Method: " + method + "\r\n" + fields + "\r\n")
			return c.read("OPTIONS")
		}
		answer := ask("/own", "PUT", "https://own", "Access-Control-Request-Headers: x-a, x-b\r\n")
		require.Equal(t, map[string]string{"Allow-Origin": "https://own", "Allow-Methods": "PUT, GET", "Allow-Headers": "x-a, x-b"}, corsOf(answer))
		answer = ask("/own", "PUT", "https://own", "Access-Control-Request-Headers: x a\r\n")
		require.Equal(t, map[string]string{"Allow-Origin": "https://own", "Allow-Methods": "PUT, GET"}, corsOf(answer))
		require.Equal(t, 403, ask("/own", "PUT", "https://front", "").StatusCode)
		other := ask("/other", "GET", "https://front", "")
		refused := ask("/own", "DELETE", "https://front", "")
		if cfg.CORS == nil {
			require.Equal(t, http.StatusOK, other.StatusCode)
			require.Equal(t, http.StatusOK, refused.StatusCode) // as a request that is none
			require.Empty(t, corsOf(other))
		} else {
			require.Equal(t, 204, other.StatusCode)
			require.Equal(t, 405, refused.StatusCode)
			require.Equal(t, map[string]string{"Allow-Origin": "https://front"}, corsOf(refused))
		}
	}
}
