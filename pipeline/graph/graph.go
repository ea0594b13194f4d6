package graph

import (
	"net/netip"
	"time"
)

// DefaultListen is where a front listens whose file does not say it.
const DefaultListen = "127.0.0.1:8002"

// loneFront is the name of a front that has none.
const loneFront = "front"

// DefaultMaxHops is how many stages a job may enter unless the file says it:
// enough for any cycle that is meant, and an end for those that are not.
const DefaultMaxHops = 1_000_000

// Never is a duration that does not end.
const Never time.Duration = -1

// Graph is a service, in the order of its files.
type Graph struct {
	// Fronts has one named "front" unless the file names them.
	Fronts []Front
	Routes []Route
	Stages []Stage
	Limits Limits
	// Metrics is where processes serve what they measure.
	Metrics Metrics
	// Priorities are the classes of jobs; the first is that of routes that name
	// none. Load fills in DefaultPriorities.
	Priorities []Priority
	// MTLS are the certificates for tls+tcp endpoints.
	MTLS MTLS
	// Network says who gets to plain tcp endpoints.
	Network Network
	// Warnings are what Load found that may be meant.
	Warnings []Problem
}

// Front is an HTTP server. The zero value of a number, size or duration stands
// for the default of httpfront or loopback; Never is no limit.
type Front struct {
	Name string
	// Listen is the address for HTTP as host:port, with an empty host for
	// every address. Load fills in DefaultListen.
	Listen string
	// TLS is how HTTP is encrypted.
	TLS FrontTLS
	// TrustedProxies are the networks of proxies that are believed when they say
	// for whom they ask, in the form of Forwarded, and what the request is called.
	TrustedProxies []netip.Prefix
	Forwarded      Forwarded
	// RequestIDHeader is the field with the ids of requests, which are taken from
	// RequestIDFrom; "" is none.
	RequestIDHeader string
	RequestIDFrom   RequestIDFrom
	// CORS is for requests of routes without one of their own.
	CORS CORS
	// Compress is how answers are compressed.
	Compress Compress
	// Loopback is where answers come in, Interrupt where workers and proxies
	// hear of clients that left.
	Loopback, Interrupt Endpoint
	// Timeout is how long an answer may take; it may be Never.
	Timeout time.Duration
	// HeaderTimeout, BodyTimeout, IdleTimeout and WriteTimeout bound what a
	// client may take for a request's head, its body, between requests, and to
	// take 256 KiB of an answer.
	HeaderTimeout, BodyTimeout, IdleTimeout, WriteTimeout time.Duration
	// StreamIdle is how long the next part of a streamed answer may take; it may
	// be Never.
	StreamIdle time.Duration
	// StreamWindow bounds the bytes of a streamed answer that are held for its
	// client.
	StreamWindow Size
	// HalfCloseGrace is how long a client that closed its side still gets its
	// answer: Never is for ever, a nanosecond stands for not at all.
	HalfCloseGrace time.Duration
	// ProxyGrace is how long after the loss of a proxy jobs may be claimed by who
	// holds them, before they count as lost; negative: they never do.
	ProxyGrace time.Duration
	// DrainTimeout is how long stopping may take, DrainDelay how much of that
	// requests are still taken.
	DrainTimeout, DrainDelay time.Duration
	// MaxBody and MaxHeader bound a request, in bytes; MaxPendingBytes all that
	// wait for an answer.
	MaxBody, MaxHeader, MaxPendingBytes Size
	// MaxTarget bounds the request target, in bytes.
	MaxTarget int
	// MaxPending bounds the requests that wait for an answer, MaxConns the
	// open connections, MaxConnsPerClient those of one address,
	// MaxRequestsPerConn the requests of one connection.
	MaxPending, MaxConns, MaxConnsPerClient, MaxRequestsPerConn int
	// Spool is where large bodies go.
	Spool Spool
	// Live and Ready are the paths of the health checks; "" is none. Load fills
	// in /livez and /readyz where the file says nothing.
	Live, Ready string
	// ClientHeader names the header field by which clients are told apart for
	// the turns that they take; "" is by their addresses.
	ClientHeader string
	// AccessLog is the file for a line per answer: "-" is the standard output,
	// "" none.
	AccessLog string
	// MTLS is the front's certificate for other parts, where it has one of its own.
	MTLS Holder

	Position Position
	origin
}

// Route says which requests go to a stage. Routes are tried in order, and the
// first that matches takes the request. What is empty matches everything.
type Route struct {
	// Path is the whole path of the request, or Prefix its beginning; one of
	// them is set. A Prefix without a slash at its end matches at the borders
	// of segments: /a matches /a and /a/b, not /ab.
	Path, Prefix string
	// Host is the name asked for, without port; *.example.com is every name
	// below example.com.
	Host string
	// Methods are those taken; GET stands for HEAD too.
	Methods []string
	// Header are fields that the request has, with exactly these values.
	Header map[string]string
	// Stage takes the request.
	Stage string
	// Timeout is how long the answer may take: 0 is the front's, or Never.
	Timeout time.Duration
	// Priority names the class of the jobs; "" is the first of Priorities.
	Priority string
	// Repeat says whether a job that may have run can be run again.
	Repeat Repeat
	// MaxBody bounds the body, in bytes; 0 is the front's. A body of more than
	// SpoolAbove bytes is kept in a file of the front's Spool; 0 is never.
	MaxBody, SpoolAbove Size
	// BodyTimeout is how long the body may take to come; 0 is the front's.
	BodyTimeout time.Duration
	// ClientHeader names the header field by which clients are told apart; "" is
	// the front's.
	ClientHeader string

	// CORS is in place of the fronts'.
	CORS CORS

	Position Position
	origin
}

// Repeat says whether jobs may run twice after a loss.
type Repeat string

// What a route or a stage may say. The zero value is RepeatSafe.
const (
	RepeatSafe   Repeat = "safe"   // of a route those of GET, HEAD and OPTIONS may; of a stage those whose route says so
	RepeatAlways Repeat = "always" // all may
	RepeatNever  Repeat = "never"  // none may
)

// Admission says which jobs of fronts a stage takes while its queue has room.
type Admission string

// What a stage may say. The zero value is AdmitQueue.
const (
	AdmitQueue    Admission = "queue"    // all
	AdmitDeadline Admission = "deadline" // those that can be done in time
)

// NoWorkers says what becomes of jobs of fronts while a stage has no workers.
type NoWorkers string

// What a stage may say. The zero value is NoWorkersWait.
const (
	NoWorkersWait   NoWorkers = "wait"   // they wait for one
	NoWorkersRefuse NoWorkers = "refuse" // they are refused
)

// Stage is a pool of workers behind a queue. Exactly one of Worker, Command,
// Compat and External says who works.
type Stage struct {
	Name string
	// Upstream is where jobs come in, Downstream where workers connect. Where
	// several proxies serve the stage these are those of the first, and More are
	// those of the others: see Pairs.
	Upstream, Downstream Endpoint
	More                 []Pair
	// Proxies is how many serve the stage; 0 is as many as it has endpoints for.
	Proxies int
	// Worker is the name under which a Go handler is registered.
	Worker string
	// Command is a worker program with its arguments; Env is added to its
	// environment.
	Command []string
	Env     map[string]string
	// Compat is CompatPrimeServer where the workers are prime_server's.
	Compat string
	// External says that the workers are started by somebody else.
	External bool
	// Count is the number of jobs that Worker does at a time, or of processes
	// of Command. 0: one per core for Worker, one for Command.
	Count int
	// Next names the stages to which jobs may be forwarded.
	Next []string
	// MaxVisits bounds how often one job enters the stage; 0 is no bound but
	// Limits.MaxHops.
	MaxVisits int
	// MaxQueue and MaxQueueBytes bound the jobs of fronts that wait for a
	// worker. Those of other stages may until MaxForwarded more wait in all, or
	// MaxForwardedBytes.
	MaxQueue          int
	MaxQueueBytes     Size
	MaxForwarded      int
	MaxForwardedBytes Size
	// Admission says which jobs of fronts are taken while there is room, "" being
	// AdmitDeadline; NoWorkers
	// whether they are while there are no workers.
	Admission Admission
	NoWorkers NoWorkers
	// Timeout is how long a worker may take for one job, each time that it
	// enters the stage; 0 is as long as the job's deadline leaves.
	Timeout time.Duration
	// Repeat says whether a job that a worker had may be given to another one,
	// when the first is lost or takes longer than Timeout, and Attempts to how
	// many in all; 0 is proxy.DefaultAttempts.
	Repeat   Repeat
	Attempts int
	// MaxHung bounds the handlers of Worker that run on after Timeout while
	// their slots do other jobs; 0 is as many as there are slots.
	MaxHung int
	// MaxAge is how long a process of Command runs, a tenth more or less, until
	// it is replaced; 0 is for ever.
	MaxAge time.Duration
	// MTLS are the certificates of its parts, where they have some of their own.
	MTLS StageMTLS

	named    [2]int // endpoints that the file names: upstream, downstream
	Position Position
	origin
}

// CompatPrimeServer is the Compat of a stage whose workers are prime_server's.
const CompatPrimeServer = "prime_server"

// Priority is a class of jobs.
type Priority struct {
	Name string
	// Weight is the share of turns that the class gets while jobs of all
	// classes wait: one of weight 8 beside one of 1 gets eight of nine.
	Weight int
}

// DefaultPriorities returns the classes of a file that names none.
func DefaultPriorities() []Priority { return []Priority{{"interactive", 8}, {"batch", 1}} }

// Class returns the number of a priority class in envelopes: 0 for "", and for
// names that there are not.
func (g *Graph) Class(name string) uint8 {
	for i, p := range g.Priorities {
		if p.Name == name {
			return uint8(i)
		}
	}
	return 0
}

// Limits bound every job.
type Limits struct {
	// MaxHops is how many stages a job may enter. Load fills in DefaultMaxHops.
	MaxHops int
	// FrontGrace is how long a front may be away before workers and proxies give
	// its jobs up: 0 is as long as they do by default, Never for ever.
	FrontGrace time.Duration

	Position Position
	origin
}

// Endpoint is where a socket is: what its owner binds, and what everybody else
// connects to, as tcp://host:port, tls+tcp://host:port or ipc://path. Both are empty where the file
// says nothing.
type Endpoint struct {
	Bind, Connect string
}

// IsZero reports whether the file says nothing.
func (e Endpoint) IsZero() bool { return e == Endpoint{} }

// Front returns the front of a name.
func (g *Graph) Front(name string) (*Front, bool) {
	for i := range g.Fronts {
		if g.Fronts[i].Name == name {
			return &g.Fronts[i], true
		}
	}
	return nil, false
}

// Stage returns the stage of a name.
func (g *Graph) Stage(name string) (*Stage, bool) {
	for i := range g.Stages {
		if g.Stages[i].Name == name {
			return &g.Stages[i], true
		}
	}
	return nil, false
}
