package proxy

import (
	"errors"
	"fmt"
	"log/slog"
	"math"

	"github.com/butterfly-zmq/butterfly/internal/transport"
	"github.com/butterfly-zmq/butterfly/internal/wire"
	"github.com/butterfly-zmq/butterfly/loopback"
)

// DefaultMaxSlots is how many slots one connection may have by default.
const DefaultMaxSlots = 4096

// Config configures a Proxy. It is copied.
type Config struct {
	// Stage names the stage, in logs and in the envelopes of its jobs.
	Stage string
	// Upstream is the endpoint to bind for jobs, from fronts and from the
	// workers of other stages. Required.
	Upstream string
	// Downstream is the endpoint to bind for the stage's workers. Required.
	Downstream string
	// Transport holds what both sockets have in common: Instance, Limits,
	// heartbeats, Inproc. Socket, Queue and Logger are set here.
	Transport transport.Options
	// Balancer holds the bounds and the chooser; its Stage is set here. A Skew
	// of 0 means wire.ClockSkew, since deadlines are those of other machines.
	Balancer BalancerConfig
	// MaxForwarded and MaxForwardedBytes say how much more than the Balancer's
	// MaxQueue and MaxQueueBytes the stage keeps in all, until it refuses jobs of
	// other stages, too (503). They are for peers that nobody bounds: jobs that fronts
	// admitted have to be taken. 0: no bound.
	MaxForwarded      int
	MaxForwardedBytes int64
	// MaxSlots bounds the slots that one connection may announce; 0:
	// DefaultMaxSlots.
	MaxSlots int
	// Answerer brings refusals to the fronts. Nil: jobs that are refused or
	// lost get no answer, as with prime_server's proxy, and a log line tells.
	Answerer loopback.Answerer
	// Render makes the text of a refusal for the front that info names. Required
	// with Answerer.
	Render func(info *wire.Info, r Refusal) []byte
	// ForPrime makes the text of a request, as a front sends it, fit for a
	// prime_server worker, which some requests would kill: it returns the same
	// text, another, or an error that is an ErrUnfit. Nil: texts go as they are.
	ForPrime func(text []byte) ([]byte, error)
	// Arrived is told the key of every job that comes, of which Held tells from then
	// on; nil: nobody is. It must not block, nor call the Proxy.
	Arrived func(wire.Key)
	// Lost is told when a worker has gone that did not withdraw: what it had done
	// may not have left it, which fronts can find out. Nil: nobody is. It must not
	// block, nor call the Proxy.
	Lost func()
	// Logger; nil: nothing is logged.
	Logger *slog.Logger
}

// Validate returns all that is wrong with the configuration, joined, or nil.
func (c Config) Validate() error {
	var errs []error
	check := func(what string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("proxy: %s: %w", what, err))
		}
	}
	o := c.options(0)
	check("transport", o.Validate())
	for _, at := range [...]struct{ what, endpoint string }{{"upstream", c.Upstream}, {"downstream", c.Downstream}} {
		check(at.what, o.CheckListen(at.endpoint))
	}
	check("balancer", c.Balancer.validate())
	if c.MaxForwarded < 0 || c.MaxForwardedBytes < 0 {
		check("forwarded jobs", errors.New("their bounds must not be negative"))
	}
	if c.MaxSlots < 0 || c.MaxSlots > math.MaxUint16+1 {
		check("max slots", fmt.Errorf("%d is not within 0 and %d", c.MaxSlots, math.MaxUint16+1))
	}
	if (c.Answerer == nil) != (c.Render == nil) {
		check("refusals", errors.New("an Answerer needs a Render, and a Render an Answerer"))
	}
	return errors.Join(errs...)
}

// validate returns all that is wrong with the configuration, joined, or nil.
func (c BalancerConfig) validate() error {
	var errs []error
	if c.MaxQueue < 0 || c.MaxQueueBytes < 0 || c.Skew < 0 {
		errs = append(errs, errors.New("bounds and skew must not be negative"))
	}
	if c.MaxHops < 0 || c.MaxVisits < 0 {
		errs = append(errs, errors.New("the bounds of hops and visits must not be negative"))
	}
	if c.Attempts < 0 || c.Attempts > MaxAttempts {
		errs = append(errs, fmt.Errorf("%d attempts are not within 0 and %d", c.Attempts, MaxAttempts))
	}
	if c.Timeout < 0 || c.Repeat > RepeatNever {
		errs = append(errs, errors.New("the timeout must not be negative, and Repeat one of its constants"))
	}
	if c.Admission > AdmitDeadline || c.NoWorkers > NoWorkersRefuse {
		errs = append(errs, errors.New("Admission and NoWorkers have to be among their constants"))
	}
	return errors.Join(errs...)
}

func (c Config) withDefaults() Config {
	if c.MaxSlots == 0 {
		c.MaxSlots = DefaultMaxSlots
	}
	if c.Balancer.Skew == 0 {
		c.Balancer.Skew = wire.ClockSkew
	}
	c.Balancer.Stage = c.Stage
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	c.Logger = c.Logger.With("stage", c.Stage)
	return c
}

// options returns the options of a socket that sends a peer at most count
// messages before it has read some. Their bytes need no bound: they are those
// of jobs, which the proxy holds anyhow until they are done.
func (c Config) options(count int) transport.Options {
	o := c.Transport
	o.Socket = transport.Router
	o.Queue = transport.QueueLimits{Count: count, Bytes: math.MaxInt64}
	o.Logger = c.Logger
	return o
}

// gatherer returns the configuration of the stage's Gatherer: a joined job has
// to fit one message, whose frames a worker takes.
func (c Config) gatherer() GathererConfig {
	limit := c.Transport.Limits.WithDefaults().MaxFrame
	return GathererConfig{Stage: c.Stage, Skew: c.Balancer.Skew, MaxBytes: max(1, limit-wire.MaxInfo)}
}
