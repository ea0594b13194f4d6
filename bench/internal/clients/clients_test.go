package clients

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/butterfly-zmq/butterfly/bench/internal/trial"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// at is a moment, in seconds.
func at(s float64) time.Time { return time.Unix(1000, 0).Add(time.Duration(s * float64(time.Second))) }

func TestHistory(t *testing.T) {
	var h History
	h.Killed(at(10))
	h.Ended(at(11))
	h.Leaving(at(20))
	assert.True(t, h.WasLeaving(at(1000), at(1001)), "it has not ended")
	h.Ended(at(22))
	h.Paused(at(30))
	h.Resumed(at(33))
	h.Paused(at(40))
	h.Killed(at(41))
	h.Stalled(at(60), at(62))
	for _, c := range []struct {
		from, to        float64
		killed, leaving bool
		stood           time.Duration
	}{
		{0, 9, false, false, 0},
		{9, 10, true, false, 0},
		{10.5, 10.6, true, false, 0},
		{12, 19, false, false, 0},
		{12, 21, false, true, 0},
		{21, 40, false, true, 3 * time.Second},
		{23, 24, false, false, 0},
		{31, 32, false, false, time.Second},
		{32, 50, true, false, 2 * time.Second},
		{61, 70, true, false, time.Second},
	} {
		assert.Equal(t, c.killed, h.WasKilled(at(c.from), at(c.to)), "%v", c)
		assert.Equal(t, c.leaving, h.WasLeaving(at(c.from), at(c.to)), "%v", c)
		assert.Equal(t, c.stood, h.Standstill(at(c.from), at(c.to)), "%v", c)
	}
}

// Every way in which an exchange may go has its verdict.
func TestVerdicts(t *testing.T) {
	get := &trial.Task{Token: "g", Method: "GET", Last: trial.Sum}
	head := &trial.Task{Token: "h", Method: "HEAD", Last: trial.Sum}
	fails := &trial.Task{Token: "f", Method: "GET", Last: trial.Sum, Fail: 422}
	stream := &trial.Task{Token: "s", Method: "GET", Last: trial.Sum, Parts: 3}
	killed, leaving, paused := &History{}, &History{}, &History{}
	killed.Killed(at(0.5))
	leaving.Leaving(at(0.5))
	paused.Paused(at(0))
	paused.Resumed(at(10))
	cut := net.ErrClosed
	for name, c := range map[string]struct {
		e    Exchange
		h    *History
		want Verdict
		calm Verdict // "": the same
	}{
		"right":                   {Exchange{Task: get, Headed: at(1), Status: 200, Body: get.Answer()}, nil, Right, ""},
		"right of HEAD":           {Exchange{Task: head, Headed: at(1), Status: 200}, nil, Right, ""},
		"HEAD with a body":        {Exchange{Task: head, Headed: at(1), Status: 200, Body: []byte("x")}, nil, Wrong, ""},
		"as asked":                {Exchange{Task: fails, Headed: at(1), Status: 422, Body: []byte("as asked by f")}, nil, Right, ""},
		"another's error":         {Exchange{Task: fails, Headed: at(1), Status: 422, Body: []byte("as asked by g")}, nil, Wrong, ""},
		"200 in place of 422":     {Exchange{Task: fails, Headed: at(1), Status: 200}, nil, Wrong, ""},
		"another's body":          {Exchange{Task: get, Headed: at(1), Status: 200, Body: head.Answer()}, nil, Wrong, ""},
		"told 502":                {Exchange{Task: get, Headed: at(1), Status: 502}, nil, Told, Wrong},
		"told 504":                {Exchange{Task: get, Headed: at(5), Status: 504}, nil, Told, Wrong},
		"500 tells nothing":       {Exchange{Task: get, Headed: at(1), Status: 500}, nil, Wrong, ""},
		"late":                    {Exchange{Task: get, Headed: at(7), Status: 200, Body: get.Answer()}, nil, Late, ""},
		"late, the front stood":   {Exchange{Task: get, Headed: at(14), Status: 200, Body: get.Answer()}, paused, Right, ""},
		"too late for that":       {Exchange{Task: get, Headed: at(17), Status: 200, Body: get.Answer()}, paused, Late, ""},
		"silence":                 {Exchange{Task: get, GaveUp: true, Err: os.ErrDeadlineExceeded}, nil, Lost, ""},
		"silence, front killed":   {Exchange{Task: get, GaveUp: true, Err: os.ErrDeadlineExceeded}, killed, Lost, ""},
		"end":                     {Exchange{Task: get, Err: cut}, nil, Lost, ""},
		"end, front killed":       {Exchange{Task: get, Err: cut}, killed, Dropped, ""},
		"end, front leaving":      {Exchange{Task: get, Err: cut}, leaving, Refused, ""},
		"end behind a last one":   {Exchange{Task: get, Err: cut, After: true}, nil, Refused, ""},
		"half an answer":          {Exchange{Task: get, Headed: at(1), Status: 200, Body: get.Answer()[:9], Err: cut}, nil, Lost, ""},
		"half, front killed":      {Exchange{Task: get, Headed: at(1), Status: 200, Body: get.Answer()[:9], Err: cut}, killed, Dropped, ""},
		"half, front leaving":     {Exchange{Task: get, Headed: at(1), Status: 200, Body: get.Answer()[:9], Err: cut}, leaving, Lost, ""},
		"half a stream":           {Exchange{Task: stream, Headed: at(1), Status: 200, Body: stream.Answer()[:80], Err: cut}, nil, Cut, Lost},
		"half another's stream":   {Exchange{Task: stream, Headed: at(1), Status: 200, Body: get.Answer(), Err: cut}, nil, Wrong, ""},
		"a stream with a gap":     {Exchange{Task: stream, Headed: at(1), Status: 200, Body: stream.Answer()[70:]}, nil, Wrong, ""},
		"a stream without end":    {Exchange{Task: stream, Headed: at(1), Status: 200, Body: stream.Answer()[:80]}, nil, Wrong, ""},
		"a stream stands still":   {Exchange{Task: stream, Headed: at(1), Status: 200, GaveUp: true, Err: cut}, nil, Lost, ""},
		"the whole stream":        {Exchange{Task: stream, Headed: at(1), Status: 200, Body: stream.Answer()}, nil, Right, ""},
		"a status out of nothing": {Exchange{Task: get, Headed: at(1), Status: 404}, nil, Wrong, ""},
	} {
		for calm, want := range map[bool]Verdict{false: c.want, true: orElse(c.calm, c.want)} {
			l := Limits{Timeout: 5 * time.Second, Slack: time.Second, Calm: calm}
			e := c.e
			e.Front = &Front{Name: "east", History: c.h}
			if c.h == nil {
				e.Front.History = &History{}
			}
			e.Opened, e.Began, e.Ended = at(0), at(0), at(20)
			got, why := l.judge(&e)
			assert.Equal(t, want, got, "%s, calm: %v", name, calm)
			assert.Equal(t, want.Broken(), why != "", "%s: %q", name, why)
		}
	}
}

// Where all that is lost is known at once nobody has to wait for the deadline.
func TestVerdictsOfSuddenLosses(t *testing.T) {
	for _, c := range []struct {
		method string
		status int
		want   Verdict
	}{{"GET", 502, Wrong}, {"GET", 503, Told}, {"GET", 504, Wrong}, {"POST", 502, Told}, {"POST", 504, Wrong}} {
		l := Limits{Timeout: 5 * time.Second, Slack: time.Second, Sudden: true}
		got, _ := l.judge(&Exchange{
			Task: &trial.Task{Token: "x", Method: c.method, Last: trial.Sum}, Front: &Front{History: &History{}},
			Began: at(0), Headed: at(1), Ended: at(1), Status: c.status,
		})
		assert.Equal(t, c.want, got, "%s %d", c.method, c.status)
	}
}

func orElse(v, other Verdict) Verdict {
	if v == "" {
		return other
	}
	return v
}

// What clients were told is held against what the workers did.
func TestCompare(t *testing.T) {
	front := &Front{Name: "east", History: &History{}}
	limits := &Limits{Timeout: time.Second, Slack: time.Second}
	l := NewLedger()
	done := func(token, method string) {
		task := &trial.Task{Token: token, Method: method, Last: trial.Sum}
		l.Sent(task)
		l.Judge(limits, &Exchange{Task: task, Front: front, Headed: at(0), Began: at(0), Status: 200, Body: task.Answer()})
	}
	refused := func(token string) {
		task := &trial.Task{Token: token, Method: "GET", Last: trial.Sum}
		l.Sent(task)
		l.Judge(limits, &Exchange{Task: task, Front: front, After: true, Err: net.ErrClosed})
	}
	done("well", "POST")
	done("twice", "POST")
	done("repeated", "GET")
	done("undone", "POST")
	refused("taken")
	refused("untaken")
	require.Zero(t, l.Broken())
	entry, sum := trial.Visit{Stage: trial.Entry}, trial.Visit{Stage: trial.Sum}
	repeats := l.Compare(&trial.Record{Visits: map[string]map[trial.Visit]int{
		"well":     {entry: 1, sum: 1},
		"twice":    {entry: 1, sum: 2},
		"repeated": {entry: 3, sum: 1},
		"undone":   {entry: 1},
		"taken":    {entry: 1},
	}})
	assert.Equal(t, 2, repeats)
	assert.Equal(t, map[Verdict]int{Right: 4, Refused: 1, Double: 1, Wrong: 1, Lost: 1}, l.Verdicts)
	assert.Equal(t, 3, l.Broken())
	assert.Len(t, l.Problems, 3)
}

// badFront is a front with a mistake: it answers tasks by itself.
type badFront struct {
	journal *trial.Journal
	mistake func(f *badFront, w *bufio.Writer, n int, t *trial.Task) (goOn bool)
}

func (f *badFront) serve(c net.Conn) {
	defer func() { _ = c.Close() }()
	reader, writer := bufio.NewReader(c), bufio.NewWriter(c)
	for n := 0; ; n++ {
		r, err := http.ReadRequest(reader)
		if err != nil {
			return
		}
		v := r.URL.Query()
		number := func(name string) int { i, _ := strconv.Atoi(v.Get(name)); return i }
		t := &trial.Task{
			Token: v.Get("token"), Method: r.Method, Last: v.Get("last"), Turns: number("turns"),
			Size: number("size"), Parts: number("parts"), Fail: number("fail"),
		}
		t.Body = make([]byte, r.ContentLength)
		for got := 0; got < len(t.Body); {
			m, err := r.Body.Read(t.Body[got:])
			if got += m; err != nil && got < len(t.Body) {
				return
			}
		}
		if !f.mistake(f, writer, n, t) || writer.Flush() != nil {
			return
		}
	}
}

// do writes down what workers would.
func (f *badFront) do(t *trial.Task) {
	for _, v := range t.Visits() {
		_ = f.journal.Note(v, t.Token, t.Method, 0)
	}
}

func answer(w *bufio.Writer, status int, t *trial.Task, body []byte) bool {
	fmt.Fprintf(w, "HTTP/1.1 %d x\r\nContent-Length: %d\r\n\r\n", status, len(body))
	if t.Method != http.MethodHead {
		_, _ = w.Write(body)
	}
	return true
}

// rightly answers as a front should.
func rightly(f *badFront, w *bufio.Writer, _ int, t *trial.Task) bool {
	f.do(t)
	if t.Fail > 0 {
		return answer(w, t.Fail, t, []byte(t.Token))
	}
	return answer(w, 200, t, t.Answer())
}

// A load finds each mistake that a service can make, and none where there is none.
func TestTheLoadSeesMistakes(t *testing.T) {
	nth := func(n int, then func(f *badFront, w *bufio.Writer, t *trial.Task) bool) func(*badFront, *bufio.Writer, int, *trial.Task) bool {
		return func(f *badFront, w *bufio.Writer, i int, t *trial.Task) bool {
			if i == n {
				return then(f, w, t)
			}
			return rightly(f, w, i, t)
		}
	}
	previous := &trial.Task{Token: "none"}
	for name, c := range map[string]struct {
		mistake func(*badFront, *bufio.Writer, int, *trial.Task) bool
		want    Verdict // "": none
	}{
		"none": {rightly, ""},
		"an answer too many": {nth(1, func(f *badFront, w *bufio.Writer, t *trial.Task) bool {
			rightly(f, w, 0, t)
			return rightly(f, w, 0, t)
		}), Double},
		"work done twice":     {func(f *badFront, w *bufio.Writer, n int, t *trial.Task) bool { f.do(t); return rightly(f, w, n, t) }, Double},
		"work not done":       {func(_ *badFront, w *bufio.Writer, _ int, t *trial.Task) bool { return answer(w, 200, t, t.Answer()) }, Wrong},
		"another's answer":    {nth(1, func(_ *badFront, w *bufio.Writer, t *trial.Task) bool { return answer(w, 200, t, previous.Answer()) }), Wrong},
		"an unknown status":   {nth(1, func(_ *badFront, w *bufio.Writer, t *trial.Task) bool { return answer(w, 500, t, nil) }), Wrong},
		"the connection ends": {nth(1, func(*badFront, *bufio.Writer, *trial.Task) bool { return false }), Lost},
		"half an answer": {nth(1, func(_ *badFront, w *bufio.Writer, _ *trial.Task) bool {
			_, _ = w.WriteString("HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\nx")
			_ = w.Flush()
			return false
		}), Lost},
		"silence": {nth(1, func(_ *badFront, _ *bufio.Writer, _ *trial.Task) bool { return true }), Lost},
		"a late answer": {nth(1, func(f *badFront, w *bufio.Writer, t *trial.Task) bool {
			time.Sleep(2200 * time.Millisecond) // what is late has to be waited for
			return rightly(f, w, 0, t)
		}), Late},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := loaded(t, &badFront{mistake: c.mistake})
			if c.want == "" {
				assert.Empty(t, l.Problems)
				assert.Positive(t, l.Verdicts[Right])
			} else {
				assert.Positive(t, l.Verdicts[c.want], "%v %v", l.Verdicts, l.Problems)
				assert.NotEmpty(t, l.Problems)
			}
		})
	}
}

// loaded loads a front for a moment and returns what was found.
func loaded(t *testing.T, f *badFront) *Ledger {
	t.Helper()
	f.journal = &trial.Journal{Path: filepath.Join(t.TempDir(), "journal")}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { f.serve(c) })
		}
	})
	l := NewLedger()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	load := &Load{
		Fronts: []*Front{{Name: "bad", Address: listener.Addr().String(), History: &History{}}}, Ledger: l,
		Limits:   Limits{Timeout: time.Second, Slack: time.Second, Calm: true},
		Patience: 4 * time.Second, Seed: 1, Name: "t", Steady: 2, Pipelining: 2, Think: time.Millisecond, Errors: 10,
	}
	load.Run(ctx)
	_ = listener.Close()
	serving.Wait()
	record, err := trial.Read(f.journal.Path)
	require.NoError(t, err)
	l.Compare(record)
	return l
}
