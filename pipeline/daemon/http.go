package daemon

import (
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/butterfly-zmq/butterfly/httpfront"
	"github.com/butterfly-zmq/butterfly/loopback"
	"github.com/butterfly-zmq/butterfly/pipeline/cluster"
)

// Defaults of the command line, where they are not those of the rooms.
const (
	defaultListen = "127.0.0.1:8002"
	defaultDrain  = 28 * time.Second // prime_server's
)

// httpFlags are the flags about the HTTP front.
type httpFlags struct {
	timeout         time.Duration
	halfCloseGrace  time.Duration
	drain           time.Duration
	maxBody         byteSize
	maxHeader       byteSize
	maxPending      int
	maxPendingBytes byteSize
	maxConns        int
	maxPerClient    int
	maxPerConn      int
	drainDelay      time.Duration
	clientHeader    string
	admission       choice[cluster.Admission]
	live, ready     string
	accessLog       string
	edge            edgeFlags
}

func defaultHTTP() httpFlags {
	return httpFlags{
		timeout:         httpfront.DefaultTimeout,
		halfCloseGrace:  httpfront.DefaultHalfCloseGrace,
		drain:           defaultDrain,
		maxBody:         httpfront.DefaultMaxBody,
		maxHeader:       httpfront.DefaultMaxHeaderBytes,
		maxPending:      loopback.DefaultMaxPending,
		maxPendingBytes: loopback.DefaultMaxPendingBytes,
		maxConns:        httpfront.DefaultMaxConns,
		admission:       admissionChoice(),
		live:            "/livez",
		ready:           "/readyz",
	}
}

func (f *httpFlags) add(flags *pflag.FlagSet) {
	flags.DurationVar(&f.timeout, "timeout", f.timeout, "how long an answer may take before 504; 0: no limit")
	flags.DurationVar(&f.drain, "drain", f.drain, "how long stopping may take")
	flags.DurationVar(&f.drainDelay, "drain-delay", f.drainDelay, "how much of it requests are still taken, with readiness gone")
	flags.Var(&f.maxBody, "max-body", "largest request body (413)")
	flags.Var(&f.maxHeader, "max-header", "largest request head (431)")
	flags.IntVar(&f.maxPending, "max-pending", f.maxPending, "most `requests` that wait for an answer (503)")
	flags.Var(&f.maxPendingBytes, "max-pending-bytes", "most bytes of those, as many of bodies that come, and of answers that are not read (503)")
	flags.IntVar(&f.maxConns, "max-conns", f.maxConns, "most open `connections` (503)")
	flags.IntVar(&f.maxPerClient, "max-conns-per-client", f.maxPerClient, "most of them from one address (429); 0: half of them, at least 100")
	flags.IntVar(&f.maxPerConn, "max-requests-per-conn", f.maxPerConn, "most requests on one connection; 0: no limit")
	flags.DurationVar(&f.halfCloseGrace, "half-close-grace", f.halfCloseGrace, "how long a client that closed its side still gets its answer; negative: for ever")
	flags.StringVar(&f.clientHeader, "client-header", "", "header `field` by which clients are told apart, for their turns; empty: by address")
	flags.Var(&f.admission, "admission", "which requests are taken while there is room: deadline (those that can be answered in time, 503) or queue (all)")
	flags.StringVar(&f.live, "live", f.live, "liveness `path`; empty: none")
	flags.StringVar(&f.ready, "ready", f.ready, "readiness `path`; empty: none")
	f.edge.add(flags)
	flags.StringVar(&f.accessLog, "access-log", f.accessLog, "`file` for a line per answer, - for stdout; empty: none")
}

// config returns the front's configuration for an address, and the table's.
func (f *httpFlags) config(listen string, stdout io.Writer) (httpfront.Config, loopback.TableConfig, error) {
	address, err := listenAddress(listen)
	if err != nil {
		return httpfront.Config{}, loopback.TableConfig{}, err
	}
	if err := f.check(); err != nil {
		return httpfront.Config{}, loopback.TableConfig{}, err
	}
	c, err := f.edge.config()
	if err != nil {
		return httpfront.Config{}, loopback.TableConfig{}, err
	}
	if c.AccessLog, err = openAccessLog(f.accessLog, stdout); err != nil {
		return httpfront.Config{}, loopback.TableConfig{}, err
	}
	c.Listen = address
	f.bound(&c)
	return c, loopback.TableConfig{
		MaxPending:      f.maxPending,
		MaxPendingBytes: int64(f.maxPendingBytes),
	}, nil
}

// bound fills in the limits, and the paths of health.
func (f *httpFlags) bound(c *httpfront.Config) {
	c.Timeout, c.HalfCloseGrace = f.timeout, f.halfCloseGrace
	if f.timeout == 0 {
		c.Timeout = -1 // no limit
	}
	if f.halfCloseGrace == 0 {
		c.HalfCloseGrace = 1 // none, in effect: 0 would be the default
	}
	c.MaxBody, c.MaxHeaderBytes = int(f.maxBody), int(f.maxHeader)
	c.MaxReceiving, c.MaxUnsent = int64(f.maxPendingBytes), int64(f.maxPendingBytes)
	c.MaxConns, c.MaxConnsPerClient, c.MaxRequestsPerConn = f.maxConns, f.maxPerClient, f.maxPerConn
	c.DrainDelay, c.ClientHeader = f.drainDelay, f.clientHeader
	c.LivePath, c.ReadyPath = f.live, f.ready
}

// check refuses what would silently mean a default further down.
func (f *httpFlags) check() error {
	switch {
	case f.timeout < 0:
		return usagef("--timeout %v is negative", f.timeout)
	case f.maxPerClient < 0 || f.maxPerConn < 0:
		return usagef("--max-conns-per-client and --max-requests-per-conn must not be negative")
	case f.maxBody <= 0:
		return usagef("--max-body %d: want at least 1", f.maxBody)
	case f.maxHeader < 256:
		return usagef("--max-header %d: want at least 256", f.maxHeader)
	case f.maxPending <= 0 || f.maxPendingBytes <= 0 || f.maxConns <= 0:
		return usagef("--max-pending, --max-pending-bytes and --max-conns have to be at least 1")
	}
	if err := f.checkDrain(); err != nil {
		return err
	}
	return f.checkPaths()
}

func (f *httpFlags) checkDrain() error {
	switch {
	case f.drain < 0:
		return usagef("--drain %v is negative", f.drain)
	case f.drainDelay < 0:
		return usagef("--drain-delay %v is negative", f.drainDelay)
	case f.drainDelay > 0 && float64(f.drainDelay) >= graceShare*float64(f.drain):
		return usagef("--drain-delay %v leaves no time to finish: want less than three quarters of --drain, which is %v", f.drainDelay, f.drain)
	}
	return nil
}

func (f *httpFlags) checkPaths() error {
	switch {
	case f.live != "" && !strings.HasPrefix(f.live, "/"):
		return usagef("--live %q does not start with /", f.live)
	case f.ready != "" && !strings.HasPrefix(f.ready, "/"):
		return usagef("the health path (--ready) %q does not start with /", f.ready)
	case f.live != "" && f.live == f.ready:
		return usagef("--live and --ready are both %q: want two paths", f.live)
	}
	return nil
}

// openAccessLog opens the file of a name, - for stdout, "" for none.
func openAccessLog(name string, stdout io.Writer) (io.Writer, error) {
	switch name {
	case "":
		return nil, nil
	case "-":
		return stdout, nil
	}
	file, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("access log: %w", err)
	}
	return file, nil
}

// closeAccessLog closes what openAccessLog has opened.
func closeAccessLog(w, stdout io.Writer) {
	if f, ok := w.(*os.File); ok && w != stdout {
		_ = f.Close()
	}
}

// listenAddress reads an address to serve HTTP on: host:port, or prime_server's
// tcp://host:port with * for every host.
func listenAddress(s string) (string, error) {
	address, isEndpoint := strings.CutPrefix(s, "tcp://")
	host, port, err := net.SplitHostPort(address)
	if err != nil || port == "" || strings.Contains(host, "/") {
		return "", usagef("%q is no address to listen on: want host:port or tcp://host:port, with * for every host", s)
	}
	if _, err := net.LookupPort("tcp", port); err != nil {
		return "", usagef("%q is no address to listen on: port %q is not within 0 and 65535", s, port)
	}
	if host == "*" && isEndpoint {
		host = ""
	}
	return net.JoinHostPort(host, port), nil
}
