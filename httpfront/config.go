package httpfront

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"time"

	"github.com/butterfly-zmq/butterfly/internal/httptext"
	"github.com/butterfly-zmq/butterfly/internal/spool"
	"github.com/butterfly-zmq/butterfly/loopback"
)

// Defaults of a Config.
const (
	DefaultTimeout        = 30 * time.Second
	DefaultHeaderTimeout  = 10 * time.Second
	DefaultBodyTimeout    = 60 * time.Second
	DefaultIdleTimeout    = 75 * time.Second
	DefaultWriteTimeout   = 20 * time.Second
	DefaultStreamIdle     = 60 * time.Second
	DefaultHalfCloseGrace = 100 * time.Millisecond
	DefaultMaxHeaderBytes = 16 << 10
	DefaultMaxTarget      = 8 << 10
	DefaultMaxBody        = 10 << 20
	DefaultMaxReceiving   = 256 << 20
	DefaultMaxUnsent      = 256 << 20
	DefaultMaxConns       = 10_000
	DefaultMaxSpooled     = spool.DefaultMaxBytes
)

// leastPerClient is the least default of Config.MaxConnsPerClient.
const leastPerClient = 100

// Config configures a Front. For durations and limits the zero value is the
// default named; a negative duration is none, where that is said.
type Config struct {
	// Listen is the TCP address to listen on, as host:port. An empty host is
	// every address; port 0 is a free one, which Addr tells.
	Listen string
	// Table holds the requests that wait; its bounds are the front's. The
	// caller runs it. Required.
	Table *loopback.Table
	// Stage takes every request. Either Stage or Route is required.
	Stage loopback.Stage
	// Route chooses where a request goes. It is called concurrently, must not
	// block, and may read the request, whose body is still to come. A
	// *StatusError is what the client gets; any other error is a 500.
	Route func(*httptext.Request) (Route, error)

	// TLS encrypts all connections; nil: none. Its files are read by Run.
	TLS *TLS

	// TrustedProxies are the addresses of proxies that are believed when they say
	// for whom they ask, in the form of Forwarded, and what the request is called.
	// Their connections are not counted for MaxConnsPerClient. From all others
	// such fields end here, as they do where there is no Forwarded.
	TrustedProxies TrustedProxies
	// Forwarded is how trusted proxies say for whom they ask, and how workers are
	// told, of every request. The zero value is not at all.
	Forwarded Forwarded
	// RequestIDHeader is the field in which trusted proxies give a request its
	// id, workers see it, and clients are told; "" is none, and ids are the
	// front's own.
	RequestIDHeader string
	// RequestIDFromAll takes ids from everybody: for clients that are all known.
	RequestIDFromAll bool

	// Compression compresses answers that do not come in parts; nil: none.
	Compression *Compression
	// CORS says which pages of other origins may read answers, errors included;
	// nil: the front says nothing of it. A Route may have its own.
	CORS *CORSPolicy

	// LivePath answers 200 to GET and HEAD as long as the process serves
	// (liveness); "" is no such path.
	LivePath string
	// ReadyPath answers 200 when requests can be served (readiness), and 503
	// while draining or when Ready returns an error; "" is no such path.
	ReadyPath string
	// Ready says why requests cannot be served now; nil: they always can.
	// Its text goes to whoever asks for ReadyPath.
	Ready func() error
	// Compat reports whether a prime_server worker may get the job: then
	// PATCH, which kills one, is refused with 501, and header fields without a
	// value, at which its parser throws, are left out. nil is never. It goes
	// with Stage; a Route says it for each request.
	Compat func() bool

	// Timeout is how long an answer may take before the client gets 504; a
	// Route may have its own. Default DefaultTimeout; negative is no limit.
	Timeout time.Duration
	// HeaderTimeout is how long the rest of a request's head may take once
	// its first bytes have come, and the first bytes of a new connection
	// (408). Default DefaultHeaderTimeout. Short ones keep slow senders from
	// holding connections; long ones bear with bad networks.
	HeaderTimeout time.Duration
	// BodyTimeout is how long a request's whole body may take (408). Default
	// DefaultBodyTimeout.
	BodyTimeout time.Duration
	// IdleTimeout is how long a connection may be idle between requests.
	// Default DefaultIdleTimeout. An idle connection costs about 10 KiB.
	IdleTimeout time.Duration
	// WriteTimeout is how long a client may take to accept 256 KiB of an
	// answer, or 16 KiB of one that is streamed; then the connection is cut. Default DefaultWriteTimeout.
	WriteTimeout time.Duration
	// StreamIdle is how long the next part of a streamed answer may take once
	// the client has been sent all there is; then the connection is cut. To the
	// first part Timeout applies. Default DefaultStreamIdle; negative is for
	// ever.
	StreamIdle time.Duration
	// HalfCloseGrace is how long a client that has closed its side of the
	// connection may still wait for an answer: closing cannot be told from
	// leaving. Default DefaultHalfCloseGrace; negative is for ever. A
	// connection reset ends its request at once.
	HalfCloseGrace time.Duration

	// DrainDelay is how long requests are still taken once Shutdown has made
	// the front not ready: as long as load balancers take to notice. 0: not at
	// all.
	DrainDelay time.Duration

	// MaxHeaderBytes bounds a request's head (431). Default
	// DefaultMaxHeaderBytes. It is the size of a read buffer, held by
	// connections with a request in progress.
	MaxHeaderBytes int
	// MaxTarget bounds the request target (414). Default DefaultMaxTarget.
	MaxTarget int
	// MaxBody bounds a request's body in bytes, before it is read where its
	// length is announced (413). Default DefaultMaxBody.
	MaxBody int
	// Spool is where bodies go that are larger than a Route's SpoolAbove.
	Spool Spool
	// MaxReceiving bounds the room for all bodies that are being received, but
	// for the first 32 KiB of each: more get 503. Default DefaultMaxReceiving.
	// Room is made as they come, for at most twice what has come. Requests
	// received are the Table's to bound.
	MaxReceiving int64
	// MaxUnsent bounds the bytes of all answers that clients take their time to
	// read, but for those up to 64 KiB: over it the slowest are cut. Default
	// DefaultMaxUnsent.
	MaxUnsent int64
	// MaxConns bounds the open connections; more get 503 and are closed.
	// Default DefaultMaxConns.
	MaxConns int

	// MaxConnsPerClient bounds the open connections of one IPv4 address, or of
	// the first 64 bits of an IPv6 address; more get 429 and are closed. The
	// default is half of MaxConns, at least 100, so that no address alone keeps
	// the others out. A load balancer's address stands for all its clients:
	// behind one give it MaxConns.
	MaxConnsPerClient int
	// MaxRequestsPerConn bounds the requests of a connection: the last one's
	// answer says that it is closed. 0: no bound. A bound spreads clients that
	// stay for long over fronts that were added.
	MaxRequestsPerConn int

	// ClientHeader names a header field by whose value clients are told apart for
	// the turns that they take at the stages, like an API key; requests without it,
	// and all where it is "", by address as MaxConnsPerClient has it. Somebody has
	// to check the value: a client that may choose it has as many turns as it
	// likes. A Route may have its own.
	ClientHeader string

	// Lane refuses requests to Stage that cannot be answered in time; nil: nobody
	// does. A Route has its own.
	Lane *Lane

	// Served counts the answers to requests that go to Stage; Own those that the
	// front makes before it has a route: health, what is malformed or has none.
	// nil: they are not counted.
	Served, Own *Served

	// AccessLog gets a line for each answer, a second later at most; nil is
	// none. A writer that is too slow loses lines, which is said in the log.
	AccessLog io.Writer
	// Logger gets what is wrong with the front or its stages; nil is nothing.
	Logger *slog.Logger
}

// Spool is a directory for request bodies that are not kept in memory. Workers
// read them there: where they are on other machines the directory is shared.
type Spool struct {
	// Dir is the directory; "": there is none, and nothing is spooled. It is made
	// if it is not there, and holds nothing else. Of several fronts each may have
	// the same.
	Dir string
	// MaxBytes bounds all bodies in it that are this front's: more get 503. Default
	// DefaultMaxSpooled.
	MaxBytes int64
}

// Route says where a request goes.
type Route struct {
	Stage loopback.Stage
	// Timeout is how long the answer may take; 0 is Config.Timeout, negative
	// no limit.
	Timeout time.Duration
	// Repeat says whether the job may run twice after a loss.
	Repeat Repeat
	// Priority is the index of the job's priority class.
	Priority uint8
	// ClientHeader is Config.ClientHeader for these requests; "" is that one.
	ClientHeader string
	// Lane refuses the request if it cannot be answered in time; nil: nobody
	// does. Requests that share the workers share a lane, but for those of
	// different priorities.
	Lane *Lane
	// CORS is in place of Config.CORS; nil: that holds.
	CORS *CORSPolicy
	// Compat is what Config.Compat reports, for this request.
	Compat bool
	// MaxBody bounds the body (413); 0 is Config.MaxBody.
	MaxBody int64
	// SpoolAbove is from which size on a body is kept in a file of Config.Spool,
	// and the job holds no more than its name: a larger one costs 32 KiB of memory
	// while it comes, and none afterwards. 0: never. With Compat no body may be
	// larger.
	SpoolAbove int64
	// BodyTimeout is how long the body may take to come (408); 0 is
	// Config.BodyTimeout.
	BodyTimeout time.Duration
	// Served counts the answer; nil: nobody does.
	Served *Served
}

// Repeat says whether a job may run twice.
type Repeat uint8

// The zero value is RepeatSafe.
const (
	RepeatSafe   Repeat = iota // with the safe methods: GET, HEAD, OPTIONS
	RepeatAlways               // whatever the method
	RepeatNever
)

// ConfigError says what is wrong with a Config.
type ConfigError struct {
	Field  string
	Reason string
}

func (e *ConfigError) Error() string { return fmt.Sprintf("httpfront: %s: %s", e.Field, e.Reason) }

// Validate reports everything that is wrong, as joined *ConfigErrors.
func (c *Config) Validate() error {
	var errs []error
	bad := func(wrong bool, field, reason string) {
		if wrong {
			errs = append(errs, &ConfigError{field, reason})
		}
	}
	_, _, err := net.SplitHostPort(c.Listen)
	bad(err != nil, "Listen", fmt.Sprintf("%q is no host:port", c.Listen))
	bad(c.Table == nil, "Table", "is missing")
	bad(c.Stage == nil && c.Route == nil, "Stage", "neither Stage nor Route says where requests go")
	bad(c.Compat != nil && c.Route != nil, "Compat", "is for Stage: a Route says it itself")
	bad(c.Stage != nil && c.Route != nil, "Stage", "Stage and Route exclude one another")
	bad(c.LivePath != "" && !strings.HasPrefix(c.LivePath, "/"), "LivePath", "does not start with /")
	bad(c.ReadyPath != "" && !strings.HasPrefix(c.ReadyPath, "/"), "ReadyPath", "does not start with /")
	bad(c.LivePath != "" && c.LivePath == c.ReadyPath, "ReadyPath", "is LivePath too")
	bad(c.HeaderTimeout < 0, "HeaderTimeout", "is negative")
	bad(c.BodyTimeout < 0, "BodyTimeout", "is negative")
	bad(c.IdleTimeout < 0, "IdleTimeout", "is negative")
	bad(c.WriteTimeout < 0, "WriteTimeout", "is negative")
	bad(c.DrainDelay < 0, "DrainDelay", "is negative")
	bad(c.MaxHeaderBytes < 0, "MaxHeaderBytes", "is negative")
	bad(c.MaxTarget < 0, "MaxTarget", "is negative")
	bad(c.MaxBody < 0, "MaxBody", "is negative")
	bad(c.MaxReceiving < 0, "MaxReceiving", "is negative")
	bad(c.Spool.MaxBytes < 0, "Spool", "has negative MaxBytes")
	bad(c.MaxUnsent < 0, "MaxUnsent", "is negative")
	bad(c.MaxConns < 0, "MaxConns", "is negative")
	bad(c.MaxConnsPerClient < 0, "MaxConnsPerClient", "is negative")
	bad(c.MaxRequestsPerConn < 0, "MaxRequestsPerConn", "is negative")
	bad(c.Forwarded > ForwardedRFC7239, "Forwarded", "is no form")
	bad(c.RequestIDHeader != "" && !IsRequestIDField(c.RequestIDHeader), "RequestIDHeader", "is no name of a field that may be replaced")
	bad(c.RequestIDFromAll && c.RequestIDHeader == "", "RequestIDFromAll", "is nothing without RequestIDHeader")
	if c.Compression != nil {
		err := c.Compression.validate()
		bad(err != nil, "Compression", fmt.Sprint(err))
	}
	if c.TLS != nil {
		wrong := c.TLS.validate()
		bad(wrong != "", "TLS", wrong)
	}
	return errors.Join(errs...)
}

// withDefaults returns c with the defaults filled in.
func (c Config) withDefaults() Config {
	c.Timeout = orDefault(c.Timeout, DefaultTimeout)
	c.HeaderTimeout = orDefault(c.HeaderTimeout, DefaultHeaderTimeout)
	c.BodyTimeout = orDefault(c.BodyTimeout, DefaultBodyTimeout)
	c.IdleTimeout = orDefault(c.IdleTimeout, DefaultIdleTimeout)
	c.WriteTimeout = orDefault(c.WriteTimeout, DefaultWriteTimeout)
	c.StreamIdle = orDefault(c.StreamIdle, DefaultStreamIdle)
	c.HalfCloseGrace = orDefault(c.HalfCloseGrace, DefaultHalfCloseGrace)
	c.MaxHeaderBytes = orDefault(c.MaxHeaderBytes, DefaultMaxHeaderBytes)
	c.MaxTarget = orDefault(c.MaxTarget, DefaultMaxTarget)
	c.MaxBody = orDefault(c.MaxBody, DefaultMaxBody)
	c.MaxReceiving = orDefault(c.MaxReceiving, DefaultMaxReceiving)
	c.MaxUnsent = orDefault(c.MaxUnsent, DefaultMaxUnsent)
	c.MaxConns = orDefault(c.MaxConns, DefaultMaxConns)
	c.MaxConnsPerClient = orDefault(c.MaxConnsPerClient, max(c.MaxConns/2, leastPerClient))
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Compat == nil {
		c.Compat = func() bool { return false }
	}
	return c
}

func orDefault[T int | int64 | time.Duration](v, d T) T {
	if v == 0 {
		return d
	}
	return v
}
