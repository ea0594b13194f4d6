package httpfront

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/butterfly-zmq/butterfly/internal/httptext"
	"github.com/butterfly-zmq/butterfly/loopback"
	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"
)

var rewrite = flag.Bool("rewrite", false, "write what happens into testdata/requests")

// scene is a connection of the corpus: testdata/requests/README.md says how it
// is written.
type scene struct {
	name   string
	send   []byte
	stays  bool
	config string   // of the front, one of sceneConfigs
	want   string   // statuses, and whether the connection ends
	jobs   []string // what reaches the worker
}

// TestCorpus plays every scene of testdata/requests, its bytes cut in several
// ways, which must make no difference.
func TestCorpus(t *testing.T) {
	eachFile(t, func(file, text string, scenes []*scene) {
		if *rewrite {
			rewriteScenes(t, file, text, scenes)
			return
		}
		for _, s := range scenes {
			t.Run(filepath.Base(file)+"/"+s.name, func(t *testing.T) { s.check(t) })
		}
	})
}

func eachFile(t testing.TB, do func(file, text string, scenes []*scene)) {
	t.Helper()
	files, err := filepath.Glob("testdata/requests/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		scenes, err := parseScenes(string(text))
		require.NoError(t, err, file)
		do(file, string(text), scenes)
	}
}

// The same over real connections, where the front lingers, sees clients leave,
// and has deadlines.
func TestCorpusOverTCP(t *testing.T) {
	for name, cfg := range sceneConfigs {
		playOver(t, name, cfg, func(r *rig) net.Conn { return r.dial().TCPConn })
	}
}

func TestCorpusOverTLS(t *testing.T) {
	for name, cfg := range sceneConfigs {
		cfg, a := secured(t, cfg)
		config := a.trusting()
		playOver(t, name, cfg, func(r *rig) net.Conn { return r.dialTLS(config).Conn })
	}
}

// scenePatience is the front's with clients that stay: far more than it takes
// until all that they send is there, also on a busy machine.
const scenePatience = 5 * time.Second

// sceneStage is a front over real connections, and what reaches its worker.
type sceneStage struct {
	*rig
	jobs chan string
}

func newSceneStage(t *testing.T, cfg Config) *sceneStage {
	st := &sceneStage{jobs: make(chan string, 100)}
	cfg.HalfCloseGrace = -1
	st.rig = start(t, cfg, func(r *rig, j *loopback.Job) error {
		text := string(j.Payload.Frames()[0])
		st.jobs <- text
		r.reply(j, httptext.NewText(200, text))
		return nil
	})
	return st
}

// playOn sends what the scene does, and returns what the client sees until the
// front ends the connection.
func (s *scene) playOn(c net.Conn) ([]byte, error) {
	if _, err := c.Write(s.send); err != nil {
		return nil, err
	}
	if !s.stays {
		_ = c.(interface{ CloseWrite() error }).CloseWrite() // fails where the front has closed already
	}
	out, err := io.ReadAll(c)
	_ = c.Close()
	return out, err
}

// playOver plays every scene of a configuration over connections that dial
// makes: one after another on one front, but those whose client stays all at
// once, each on its own, since they end when the front's patience does.
func playOver(t *testing.T, name string, cfg Config, dial func(*rig) net.Conn) {
	all := newSceneStage(t, cfg)
	cfg.HeaderTimeout, cfg.BodyTimeout, cfg.IdleTimeout = scenePatience, scenePatience, scenePatience
	var staying []func()
	eachFile(t, func(file, _ string, scenes []*scene) {
		for _, s := range scenes {
			switch {
			case s.config != name:
			case s.stays:
				st, played := newSceneStage(t, cfg), make(chan func(), 1)
				c := dial(st.rig)
				go func() {
					out, err := s.playOn(c)
					played <- func() { s.judge(t, file, st, out, err) }
				}()
				staying = append(staying, func() { wait(t, played)() })
			default:
				out, err := s.playOn(dial(all.rig))
				s.judge(t, file, all, out, err)
			}
		}
	})
	for _, ended := range staying {
		ended()
	}
}

// judge compares what came over a real connection with what has to.
func (s *scene) judge(t *testing.T, file string, st *sceneStage, out []byte, err error) {
	t.Helper()
	require.NoError(t, err, "%s/%s", file, s.name)
	var got []string
	for len(st.jobs) > 0 {
		got = append(got, <-st.jobs)
	}
	again, _ := newStand(t, sceneConfigs[s.config]).play(bytes.Clone(s.send), 1<<20, io.EOF)
	want := strings.TrimSuffix(strings.TrimSuffix(s.want, "keep"), "close")
	require.Equal(t, withoutInterim(want), withoutInterim(readAll(t, out, again.methods, got)), "%s/%s", file, s.name)
	require.Equal(t, sameScheme(s.jobs), sameScheme(got), "%s/%s", file, s.name)
	require.Zero(t, st.table.Len())
}

// sameScheme leaves out whether jobs came by TLS.
func sameScheme(jobs []string) (same []string) {
	for _, j := range jobs {
		same = append(same, strings.ReplaceAll(j, "-Proto: https", "-Proto: http"))
	}
	return same
}

// A request that fasthttp took from somewhere else than where the connection
// has it begin is refused, whatever it is.
func TestRequestsBeginWhereTheConnectionSays(t *testing.T) {
	for name, c := range map[string]func(*conn){
		"not begun": func(c *conn) { c.head.done = true },
		"no end":    func(c *conn) { c.begun = true },
	} {
		s := newStand(t, Config{})
		client := newConn(s.Front, &script{})
		c(client)
		var ctx fasthttp.RequestCtx
		ctx.Init2(client, discard{}, true)
		ctx.Request.SetRequestURI("/")
		s.handle(&ctx)
		require.Equal(t, 400, ctx.Response.StatusCode(), name)
		require.True(t, ctx.Response.ConnectionClose(), name)
		require.Empty(t, s.jobs, name)
	}
}

// sceneConfigs are those of the fronts that scenes are played with, by the mark
// that chooses them. Clients have the address 127.0.0.1.
var sceneConfigs = map[string]Config{
	"": {LivePath: "/livez", MaxBody: 1000, MaxRequestsPerConn: 20},
	"proxied": {
		LivePath: "/livez", MaxBody: 1000, MaxRequestsPerConn: 20,
		TrustedProxies: TrustedProxies{netip.MustParsePrefix("127.0.0.1/32"), netip.MustParsePrefix("10.0.0.0/8")},
		Forwarded:      ForwardedX, RequestIDHeader: "X-Request-Id",
	},
}

func (s *scene) check(t *testing.T) {
	got, jobs := s.play(t, 1<<20)
	require.Equal(t, s.want, got)
	require.Equal(t, s.jobs, jobs)
	for _, piece := range []int{1, 2, 3, 7, 23, 34, 61, 100, 600} {
		got, again := s.play(t, piece)
		require.Equal(t, withoutInterim(s.want), withoutInterim(got), "in pieces of %d", piece)
		require.Equal(t, jobs, again, "in pieces of %d", piece)
	}
}

// withoutInterim leaves out 100 (Continue): whether it comes depends on how
// much of the body has.
func withoutInterim(seen string) string { return strings.ReplaceAll(seen, "100 ", "") }

// play serves the scene and returns what the client sees.
func (s *scene) play(t *testing.T, piece int) (string, []string) {
	t.Helper()
	front := newStand(t, sceneConfigs[s.config])
	end := io.EOF
	if s.stays {
		end = errStays
	}
	seen, jobs := front.outcome(t, s.send, piece, end)
	return seen, jobs
}

// outcome serves one connection, checks that what left is HTTP, and that
// nothing of it is left behind, and returns what the client sees and what
// reached the stage.
func (s *stand) outcome(t *testing.T, in []byte, piece int, end error) (string, []string) {
	t.Helper()
	c, jobs := s.play(bytes.Clone(in), piece, end)
	require.Zero(t, s.table.Len())
	require.Zero(t, s.conns.len())
	require.Zero(t, s.receiving.bytes.Load())
	require.Zero(t, s.unsent.bytes)
	seen := readAll(t, c.out.Bytes(), c.methods, jobs)
	if c.kept {
		return seen + "keep", jobs
	}
	return seen + "close", jobs
}

// readAll reads answers to requests of the methods, and returns their statuses.
// Each 200 has to be the answer to the next job, and whoever ends the connection
// has to say so.
func readAll(t *testing.T, out []byte, methods, jobs []string) string {
	t.Helper()
	seen, closing := "", false
	br := bufio.NewReader(bytes.NewReader(out))
	for {
		if _, err := br.Peek(1); err == io.EOF {
			require.Empty(t, methods, "not answered: %q", out)
			require.Empty(t, jobs, "not answered: %q", out)
			return seen
		}
		require.False(t, closing, "something follows the answer that is the last: %q", out)
		if next, _ := br.Peek(len(continueLine)); bytes.Equal(next, continueLine) {
			_, _ = br.Discard(len(continueLine))
			seen += "100 "
			continue
		}
		require.NotEmpty(t, methods, "%q", out)
		resp, err := http.ReadResponse(br, &http.Request{Method: methods[0]})
		require.NoError(t, err, "%q", out)
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err, "%q", out)
		seen += strconv.Itoa(resp.StatusCode) + " "
		if resp.StatusCode == 200 && resp.Header.Get("Cache-Control") == "" {
			require.NotEmpty(t, jobs, "%q", out)
			require.EqualValues(t, len(jobs[0]), resp.ContentLength)
			require.True(t, strings.HasPrefix(jobs[0], methods[0]+" "))
			if methods[0] != "HEAD" {
				require.Equal(t, jobs[0], string(body))
			}
			jobs = jobs[1:]
		}
		closing, methods = resp.Close, methods[1:]
	}
}

// parseScenes reads a file of the corpus.
func parseScenes(text string) ([]*scene, error) {
	var scenes []*scene
	for n, line := range strings.Split(text, "\n") {
		mark, rest, _ := strings.Cut(line, " ")
		if mark == "" || mark[0] == '#' {
			continue
		}
		if mark == "==" {
			scenes = append(scenes, &scene{name: rest})
			continue
		}
		if len(scenes) == 0 {
			return nil, fmt.Errorf("line %d belongs to no scene", n+1)
		}
		s := scenes[len(scenes)-1]
		var err error
		switch mark {
		case ">":
			var part []byte
			part, err = unescape(rest)
			s.send = append(s.send, part...)
		case "!":
			if _, known := sceneConfigs[rest]; known {
				s.config = rest
			} else if s.stays = rest == "stays"; !s.stays {
				err = fmt.Errorf("mark ! %q", rest)
			}
		case "<":
			s.want = rest
		case "=":
			var job []byte
			job, err = unescape(rest)
			s.jobs = append(s.jobs, string(job))
		default:
			err = fmt.Errorf("mark %q", mark)
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n+1, err)
		}
	}
	return scenes, nil
}

var repeated = regexp.MustCompile(`\{(\d+)\*([^}]*)\}`)

// unescape reads text with Go's escapes, and {3*ab} for ababab.
func unescape(s string) ([]byte, error) {
	s = repeated.ReplaceAllStringFunc(s, func(m string) string {
		parts := repeated.FindStringSubmatch(m)
		n, _ := strconv.Atoi(parts[1])
		return strings.Repeat(parts[2], n)
	})
	plain, err := strconv.Unquote(`"` + strings.ReplaceAll(s, `"`, `\"`) + `"`)
	return []byte(plain), err
}

// rewriteScenes puts what happens in the place of what should.
func rewriteScenes(t *testing.T, file, text string, scenes []*scene) {
	t.Helper()
	var out strings.Builder
	done := 0
	finish := func() {
		if done == 0 {
			return
		}
		s := scenes[done-1]
		seen, jobs := s.play(t, 1<<20)
		fmt.Fprintf(&out, "< %s\n", seen)
		for _, j := range jobs {
			quoted := strconv.Quote(j)
			fmt.Fprintf(&out, "= %s\n", strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`))
		}
		out.WriteString("\n")
	}
	for _, line := range strings.Split(strings.TrimSpace(text), "\n") {
		switch {
		case strings.HasPrefix(line, "< "), strings.HasPrefix(line, "= "), line == "" && done > 0:
			continue
		case strings.HasPrefix(line, "== "):
			finish()
			done++
		}
		out.WriteString(line + "\n")
	}
	finish()
	require.NoError(t, os.WriteFile(file, []byte(strings.TrimSuffix(out.String(), "\n")), 0o644))
}
