package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/butterfly-zmq/butterfly/internal/zmqpeer"
	"github.com/butterfly-zmq/butterfly/pipeline"
	"github.com/butterfly-zmq/butterfly/pipeline/cluster"
)

// squares is a pipeline that adds up the squares of the numbers in its path,
// "/1,2,3", with what the test wants to see of it.
type squares struct {
	fan     pipeline.Fan
	atWork  atomic.Int32
	most    atomic.Int32
	hung    atomic.Int32
	started chan struct{} // parts that hang have begun
	stopped chan struct{} // and ended, for their context did
	release chan struct{} // parts with a ! wait for it
}

func newSquares(f pipeline.Fan) *squares {
	f.Stage, f.Join = "square", "sum"
	return &squares{
		fan: f, release: make(chan struct{}),
		started: make(chan struct{}, 1000), stopped: make(chan struct{}, 1000),
	}
}

// stages returns its stages: parts go through two.
func (s *squares) stages() []cluster.Stage {
	return []cluster.Stage{
		{Name: "split", Slots: 2, Handler: pipeline.HandlerFunc(s.split), Next: []string{"square", "sum"}},
		{Name: "square", Slots: 4, Handler: pipeline.HandlerFunc(s.square), Next: []string{"after", "sum"}},
		{Name: "after", Slots: 2, Handler: pipeline.HandlerFunc(s.after), Next: []string{"sum"}},
		{Name: "sum", Slots: 2, Handler: pipeline.HandlerFunc(s.sum)},
	}
}

func (s *squares) split(_ context.Context, job *pipeline.Job) (pipeline.Result, error) {
	r, err := job.Request()
	if err != nil {
		return pipeline.Result{}, err
	}
	var parts [][]byte
	for number := range strings.SplitSeq(strings.TrimPrefix(r.Path(), "/"), ",") {
		parts = append(parts, []byte(number))
	}
	return pipeline.Scatter(s.fan, parts...), nil
}

// square does a part: "hang" waits for the end of its context, "fail" fails,
// "panic" panics, "answer" answers the client itself. With a ! it waits first.
func (s *squares) square(ctx context.Context, job *pipeline.Job) (pipeline.Result, error) {
	now := s.atWork.Add(1)
	defer s.atWork.Add(-1)
	for most := s.most.Load(); now > most && !s.most.CompareAndSwap(most, now); most = s.most.Load() {
	}
	text, waits := strings.CutSuffix(string(job.Bytes()), "!")
	if waits {
		<-s.release
	}
	switch text {
	case "hang":
		s.hung.Add(1)
		s.started <- struct{}{}
		<-ctx.Done()
		s.stopped <- struct{}{}
		return pipeline.Result{}, ctx.Err()
	case "fail":
		return pipeline.Result{}, pipeline.Errorf(422, "no number")
	case "panic":
		panic("no number")
	case "answer":
		return pipeline.Text(200, "by a part"), nil
	default:
		n, err := strconv.Atoi(text)
		if err != nil {
			return pipeline.Result{}, err
		}
		return pipeline.Forward("after", []byte(strconv.Itoa(n*n)), []byte(text)), nil
	}
}

// after is a stage that knows nothing of parts.
func (s *squares) after(_ context.Context, job *pipeline.Job) (pipeline.Result, error) {
	return pipeline.Forward("sum", job.Frames()...), nil
}

func (s *squares) sum(_ context.Context, job *pipeline.Job) (pipeline.Result, error) {
	parts, err := job.Parts()
	if err != nil {
		return pipeline.Result{}, err
	}
	total := 0
	var others []string
	for _, p := range parts {
		var status *pipeline.StatusError
		switch {
		case errors.Is(p.Err, pipeline.ErrMissing):
			others = append(others, fmt.Sprint(p.Index, " missing"))
		case errors.As(p.Err, &status):
			others = append(others, fmt.Sprint(p.Index, " ", status.Status))
		default:
			n, err := strconv.Atoi(string(p.Bytes()))
			if err != nil {
				return pipeline.Result{}, err
			}
			total += n
		}
	}
	return pipeline.Text(200, strings.Join(append([]string{fmt.Sprint(total, " in ", job.Hops())}, others...), ", ")), nil
}

// hang waits until n parts hang, and lets those go on that wait.
func (s *squares) hang(t *testing.T, n int) {
	t.Helper()
	for range n {
		awaitOne(t, s.started)
	}
	awaitOne(t, s.release)
}

// stop waits until all parts that hung have been stopped, and returns how many
// there were.
func (s *squares) stop(t *testing.T) int {
	t.Helper()
	n := 0
	require.Eventually(t, func() bool {
		for ; len(s.stopped) > 0; n++ {
			<-s.stopped
		}
		return s.atWork.Load() == 0
	}, 20*time.Second, time.Millisecond)
	require.EqualValues(t, s.hung.Swap(0), n)
	for len(s.started) > 0 {
		<-s.started
	}
	return n
}

// awaitOne sends to c, or receives from it.
func awaitOne(t *testing.T, c chan struct{}) {
	t.Helper()
	in, out := c, chan struct{}(nil)
	if cap(c) == 0 {
		in, out = nil, c
	}
	select {
	case <-in:
	case out <- struct{}{}:
	case <-time.After(20 * time.Second):
		t.Error("nothing happened for a long time")
	}
}

func TestScatteredJobsAreJoined(t *testing.T) {
	s := newSquares(pipeline.Fan{Width: 3})
	both(t, s.stages(), func(t *testing.T, addr net.Addr) {
		s.most.Store(0)
		var numbers []string
		for n := range 300 {
			numbers = append(numbers, strconv.Itoa(n+1))
		}
		list := "/" + strings.Join(numbers, ",")
		status, body := get(t, addr, list)
		assert.Equal(t, 200, status)
		assert.Equal(t, "9045050 in 4", body)
		assert.LessOrEqual(t, s.most.Load(), int32(3), "of one request as many as wanted")

		var clients sync.WaitGroup
		for n := range 20 {
			clients.Go(func() {
				status, body := get(t, addr, "/"+strings.Join(numbers[:n+1], ","))
				assert.Equal(t, 200, status)
				assert.Equal(t, fmt.Sprint((n+1)*(n+2)*(2*n+3)/6, " in 4"), body)
			})
		}
		clients.Wait()
	})
}

// The error of one part answers the client at once, and stops all others: those
// in work, in queues, and parked.
func TestTheErrorOfAPartStopsTheOthers(t *testing.T) {
	s := newSquares(pipeline.Fan{Width: 3})
	both(t, s.stages(), func(t *testing.T, addr net.Addr) {
		for path, want := range map[string]string{
			"/hang,1,hang,2,fail!":   "no number",
			"/hang,1,hang,2,answer!": "by a part",
		} {
			go s.hang(t, 2)
			_, body := get(t, addr, path+strings.Repeat(",hang", 20))
			assert.Equal(t, want, strings.TrimSpace(body))
			assert.Less(t, s.stop(t), 10, "most of those that waited were not begun")
		}
		status, body := get(t, addr, "/3,4")
		assert.Equal(t, 200, status, "every slot is free again")
		assert.Equal(t, "25 in 4", body)
	})
}

func TestAnyPartWillDo(t *testing.T) {
	s := newSquares(pipeline.Fan{Policy: pipeline.Any})
	both(t, s.stages(), func(t *testing.T, addr net.Addr) {
		go s.hang(t, 2)
		status, body := get(t, addr, "/fail,hang,panic,3!,hang")
		assert.Equal(t, 200, status)
		assert.Equal(t, "9 in 4", body)
		assert.Equal(t, 2, s.stop(t))
		status, body = get(t, addr, "/fail,fail,fail")
		assert.Equal(t, 422, status)
		assert.Regexp(t, `^no number \(request [0-9a-f-]+\)\n?$`, body)
	})
}

func TestBestEffortGoesOnWithWhatCame(t *testing.T) {
	s := newSquares(pipeline.Fan{Policy: pipeline.BestEffort, Timeout: 300 * time.Millisecond})
	both(t, s.stages(), func(t *testing.T, addr net.Addr) {
		status, body := get(t, addr, "/2,fail,panic,3")
		assert.Equal(t, 200, status)
		assert.Equal(t, "13 in 4, 1 422, 2 500", body)
		status, body = get(t, addr, "/2,hang,3,hang")
		assert.Equal(t, 200, status)
		assert.Equal(t, "13 in 4, 1 missing, 3 missing", body)
		status, body = get(t, addr, "/hang,hang")
		assert.Equal(t, 200, status, "the join knows of a group of which nothing came")
		assert.Equal(t, "0 in 2, 0 missing, 1 missing", body)
		assert.Equal(t, 4, s.stop(t))
	})
}

func TestPartsThatDoNotComeInTime(t *testing.T) {
	s := newSquares(pipeline.Fan{Timeout: 100 * time.Millisecond})
	both(t, s.stages(), func(t *testing.T, addr net.Addr) {
		status, body := get(t, addr, "/1,hang")
		assert.Equal(t, 504, status)
		assert.Contains(t, body, "parts of the job did not come in time")
		assert.Equal(t, 1, s.stop(t))
	})
}

// request sends a GET request without waiting for its answer, and returns how
// to leave.
func request(t *testing.T, addr net.Addr, path string) (leave func()) {
	t.Helper()
	conn, err := net.Dial("tcp", addr.String())
	require.NoError(t, err)
	_, err = conn.Write([]byte("GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n"))
	require.NoError(t, err)
	return func() { require.NoError(t, conn.Close()) }
}

// The client leaves: every part stops, and the pipeline is as it was.
func TestAClientThatLeavesStopsAllParts(t *testing.T) {
	s := newSquares(pipeline.Fan{Width: 4})
	both(t, s.stages(), func(t *testing.T, addr net.Addr) {
		leave := request(t, addr, "/1,2"+strings.Repeat(",hang", 50))
		for range 4 {
			awaitOne(t, s.started)
		}
		leave()
		assert.Less(t, s.stop(t), 20, "most of those that waited were not begun")
		status, body := get(t, addr, "/3,4")
		assert.Equal(t, 200, status)
		assert.Equal(t, "25 in 4", body)
	})
}

// A joined job can be scattered again.
func TestScatteringTwice(t *testing.T) {
	again := func(_ context.Context, job *pipeline.Job) (pipeline.Result, error) {
		parts, err := job.Parts()
		if err != nil {
			return pipeline.Result{}, err
		}
		var all [][]byte
		for _, p := range parts {
			all = append(all, p.Bytes(), p.Bytes())
		}
		if len(all) == 16 {
			return pipeline.Text(200, string(all[0])), nil
		}
		return pipeline.Scatter(pipeline.Fan{Stage: "add", Join: "again"}, all...), nil
	}
	stages := []cluster.Stage{
		{Name: "split", Slots: 1, Next: []string{"add", "again"}, Handler: pipeline.HandlerFunc(
			func(context.Context, *pipeline.Job) (pipeline.Result, error) {
				return pipeline.Scatter(pipeline.Fan{Stage: "add", Join: "again"}, []byte("x")), nil
			})},
		{Name: "add", Slots: 2, Next: []string{"again"}, Handler: pipeline.HandlerFunc(
			func(_ context.Context, job *pipeline.Job) (pipeline.Result, error) {
				return pipeline.Forward("again", append([]byte("x"), job.Bytes()...)), nil
			})},
		{Name: "again", Slots: 1, Next: []string{"add", "again"}, Handler: pipeline.HandlerFunc(again)},
	}
	both(t, stages, func(t *testing.T, addr net.Addr) {
		status, body := get(t, addr, "/")
		assert.Equal(t, 200, status)
		assert.Equal(t, "xxxxx", body)
	})
}

// A request of a thousand parts does not keep one of a single part waiting,
// though its own wait for one that takes long.
func TestWidthLetsOthersPass(t *testing.T) {
	s := newSquares(pipeline.Fan{Width: 1})
	both(t, s.stages(), func(t *testing.T, addr net.Addr) {
		leave := request(t, addr, "/hang"+strings.Repeat(",hang", 999))
		awaitOne(t, s.started)
		status, body := get(t, addr, "/3")
		assert.Equal(t, 200, status)
		assert.Equal(t, "9 in 4", body)
		assert.EqualValues(t, 1, s.hung.Load())
		leave()
		s.stop(t)
	})
}

// Parts pass through workers that know nothing of them, as prime_server's.
func TestPartsPassThroughWorkersOfOtherProjects(t *testing.T) {
	zmqpeer.Python(t)
	s := newSquares(pipeline.Fan{Width: 5})
	stages := s.stages()
	stages[2].Handler = nil
	d := deploy(t, stages)
	for range 2 {
		zmqpeer.Start(t, "../../proxy/testdata/circle.py", d.at("after.down"), d.at("sum.up"))
	}
	addr := d.ready(t)
	for range 5 {
		status, body := get(t, addr, "/1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20")
		assert.Equal(t, 200, status)
		assert.Equal(t, "2870 in 4", body)
	}
}
