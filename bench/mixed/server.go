package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// startWithin bounds how long a server may take until it serves, stopWithin
// until it has ended when its input has.
const (
	startWithin = 30 * time.Second
	stopWithin  = 10 * time.Second
)

// order is that of a round. The first is the measure of none; the sliced
// pipeline is measured against the unsliced one.
var order = []string{"bare", "unsliced", "sliced"}

// server is a process that serves.
type server struct {
	kind   string
	url    string
	cmd    *exec.Cmd
	input  io.Closer     // its end is the server's
	ended  chan struct{} // closed when its output is over
	output strings.Builder
}

// startAll starts a server of each kind. On an error those that were started
// are returned beside it, to be stopped.
func startAll(ctx context.Context, o *options) (servers []*server, err error) {
	for _, kind := range order {
		s, err := start(ctx, kind, o)
		if err != nil {
			return servers, err
		}
		servers = append(servers, s)
	}
	return servers, nil
}

func stopAll(servers []*server) {
	for _, s := range servers {
		s.stop()
	}
}

// start runs this program as a server and returns when it serves.
func start(ctx context.Context, kind string, o *options) (*server, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", kind, err)
	}
	cmd := exec.Command(program, o.serverArgs(kind)...)
	cmd.Env = os.Environ()
	if o.procs > 0 {
		cmd.Env = append(cmd.Env, "GOMAXPROCS="+strconv.Itoa(o.procs))
	}
	s := &server{kind: kind, cmd: cmd, ended: make(chan struct{})}
	input, err1 := cmd.StdinPipe()
	output, err2 := cmd.StderrPipe()
	if err := errors.Join(err1, err2); err != nil {
		return nil, fmt.Errorf("start %s: %w", kind, err)
	}
	s.input = input
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", kind, err)
	}
	serving := make(chan string, 1)
	go s.read(output, serving)
	return s, s.await(ctx, serving)
}

// read gathers what the server logs until it ends. The first line with an
// address says that it serves.
func (s *server) read(output io.Reader, serving chan<- string) {
	defer close(s.ended)
	lines := bufio.NewScanner(output)
	for lines.Scan() {
		var line struct{ URL string }
		if err := json.Unmarshal(lines.Bytes(), &line); err == nil && line.URL != "" {
			select {
			case serving <- line.URL:
			default:
			}
			continue
		}
		if s.output.Len() < 4096 {
			s.output.WriteString(lines.Text() + "\n")
		}
	}
}

// await waits until the server serves. One that does not is stopped.
func (s *server) await(ctx context.Context, serving <-chan string) error {
	timer := time.NewTimer(startWithin)
	defer timer.Stop()
	var err error
	select {
	case s.url = <-serving:
		return nil
	case <-s.ended:
		err = fmt.Errorf("start %s: it ended: %s", s.kind, s.output.String())
	case <-timer.C:
		err = fmt.Errorf("start %s: it does not serve after %v", s.kind, startWithin)
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	s.stop()
	return err
}

// stop ends the server and returns when it is gone.
func (s *server) stop() {
	_ = s.input.Close() // its order to end
	timer := time.AfterFunc(stopWithin, func() { _ = s.cmd.Process.Kill() })
	defer timer.Stop()
	<-s.ended
	_ = s.cmd.Wait() // how it ended is of no interest any more
}
