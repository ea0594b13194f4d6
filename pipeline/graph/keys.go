package graph

import (
	"math"
	"slices"
	"time"
)

// The tables of keys, one for each mapping of the file.

func frontKeys() []key[Front] {
	return slices.Concat([]key[Front]{
		field("listen", address(), func(f *Front) *string { return &f.Listen }, DefaultListen,
			"address for HTTP, host:port; :port is every address"),
		field("tls", mappingOf("tls", tlsKeys), func(f *Front) *FrontTLS { return &f.TLS }, "",
			"certificate by which HTTP is encrypted; absent: it is not"),
		field("loopback", endpoints(), func(f *Front) *Endpoint { return &f.Loopback }, "",
			"endpoint where answers come in"),
		field("interrupt", endpoints(), func(f *Front) *Endpoint { return &f.Interrupt }, "",
			"endpoint where workers and proxies hear of clients that left"),
	}, frontTimes(), frontBounds(), []key[Front]{
		field("live", healthPath(), func(f *Front) *string { return &f.Live }, "/livez",
			"path of the liveness check; \"\" is none"),
		field("ready", healthPath(), func(f *Front) *string { return &f.Ready }, "/readyz",
			"path of the readiness check; \"\" is none"),
		field("client_header", fieldName(), func(f *Front) *string { return &f.ClientHeader }, "",
			"header field by which clients are told apart, for their turns at the stages; absent: by address"),
		field("access_log", word("a file", schema{"type": "string"}, fileName), func(f *Front) *string { return &f.AccessLog }, "",
			"file for a line per answer, - for the standard output"),
		field("mtls", holder(), func(f *Front) *Holder { return &f.MTLS }, "",
			"the front's certificate for other parts, where it has one of its own"),
	}, edgeKeys())
}

// frontTimes are the keys that say how long things may take.
func frontTimes() []key[Front] {
	positive := span{least: time.Nanosecond}.kind()
	return []key[Front]{
		field("timeout", span{least: time.Nanosecond, never: true}.kind(), func(f *Front) *time.Duration { return &f.Timeout }, "30s",
			"how long an answer may take (504), or never"),
		field("header_timeout", positive, func(f *Front) *time.Duration { return &f.HeaderTimeout }, "10s",
			"how long a request's head may take once it has begun (408)"),
		field("body_timeout", positive, func(f *Front) *time.Duration { return &f.BodyTimeout }, "60s",
			"how long a request's body may take (408)"),
		field("idle_timeout", positive, func(f *Front) *time.Duration { return &f.IdleTimeout }, "75s",
			"how long a connection may be idle between requests"),
		field("write_timeout", positive, func(f *Front) *time.Duration { return &f.WriteTimeout }, "20s",
			"how long a client may take to accept 256 KiB of an answer"),
		field("stream_idle", span{least: time.Nanosecond, never: true}.kind(), func(f *Front) *time.Duration { return &f.StreamIdle }, "60s",
			"how long the next part of a streamed answer may take once the client has all there is, or never"),
		field("half_close_grace", span{zero: time.Nanosecond, never: true}.kind(), func(f *Front) *time.Duration { return &f.HalfCloseGrace }, "100ms",
			"how long a client that closed its side still gets its answer; 0s is not at all, never for ever"),
		field("proxy_grace", span{least: time.Nanosecond, never: true}.kind(), func(f *Front) *time.Duration { return &f.ProxyGrace }, "1s",
			"how long after the loss of a proxy who holds jobs may say so, until the others are repeated or answered 502; never: they wait for their deadline"),
		field("drain_timeout", positive, func(f *Front) *time.Duration { return &f.DrainTimeout }, "28s",
			"how long stopping may take"),
		field("drain_delay", span{}.kind(), func(f *Front) *time.Duration { return &f.DrainDelay }, "0s",
			"how much of drain_timeout requests are still taken, with readiness gone; less than three quarters of it"),
	}
}

// frontBounds are the keys that say how large things may be, and how many.
func frontBounds() []key[Front] {
	return []key[Front]{
		field("max_body", sizes[Size](1, math.MaxInt32), func(f *Front) *Size { return &f.MaxBody }, "10MiB",
			"largest request body (413)"),
		field("max_header", sizes[Size](256, 16<<20), func(f *Front) *Size { return &f.MaxHeader }, "16KiB",
			"largest request head (431)"),
		field("max_target", sizes[int](16, 16<<20), func(f *Front) *int { return &f.MaxTarget }, "8KiB",
			"longest request target (414)"),
		field("max_pending", whole(1, math.MaxInt32), func(f *Front) *int { return &f.MaxPending }, "10000",
			"most requests that wait for an answer (503)"),
		field("max_pending_bytes", sizes[Size](1, math.MaxInt64), func(f *Front) *Size { return &f.MaxPendingBytes }, "256MiB",
			"most bytes of those requests (503); as many again of bodies that come, and of answers that are not read"),
		field("stream_window", sizes[Size](64<<10, 64<<20), func(f *Front) *Size { return &f.StreamWindow }, "64KiB",
			"most bytes of a streamed answer that are held for its client"),
		field("max_conns", whole(1, math.MaxInt32), func(f *Front) *int { return &f.MaxConns }, "10000",
			"most open connections (503)"),
		field("max_conns_per_client", whole(1, math.MaxInt32), func(f *Front) *int { return &f.MaxConnsPerClient }, "",
			"most of them from one address (429); absent: half of max_conns, at least 100"),
		field("max_requests_per_conn", whole(1, math.MaxInt32), func(f *Front) *int { return &f.MaxRequestsPerConn }, "",
			"most requests on one connection; absent: no limit"),
		field("spool", mappingOf("spool", spoolKeys), func(f *Front) *Spool { return &f.Spool }, "",
			"directory for the bodies of routes with spool_above"),
	}
}

func fileName(s string) (string, *flaw) {
	for _, c := range []byte(s) {
		if c == 0 {
			return "", flawf("", "a zero byte")
		}
	}
	return s, nil
}

func endpointKeys() []key[Endpoint] {
	return []key[Endpoint]{
		field("bind", bindable(), func(e *Endpoint) *string { return &e.Bind }, "",
			"endpoint that its owner binds; tcp://*:port is every IPv4 address, tcp://:port this machine alone").must(),
		field("connect", connectable(), func(e *Endpoint) *string { return &e.Connect }, "",
			"endpoint that the others connect to").must(),
	}
}

func routeKeys() []key[Route] {
	return []key[Route]{
		field("path", urlPath(), func(r *Route) *string { return &r.Path }, "",
			"the whole path of the request"),
		field("prefix", urlPath(), func(r *Route) *string { return &r.Prefix }, "",
			"the beginning of the path, in whole segments; / is every path"),
		field("host", hostPatterns(), func(r *Route) *string { return &r.Host }, "",
			"host name, or *.example.com for all names below one"),
		field("methods", list(method(), true), func(r *Route) *[]string { return &r.Methods }, "",
			"methods taken; GET stands for HEAD too; absent: all"),
		field("header", headers(), func(r *Route) *map[string]string { return &r.Header }, "",
			"header fields that the request has, with exactly these values"),
		field("stage", name(maxName), func(r *Route) *string { return &r.Stage }, "",
			"stage that takes the request").must(),
		field("timeout", span{least: time.Nanosecond, never: true}.kind(), func(r *Route) *time.Duration { return &r.Timeout }, "",
			"how long the answer may take (504), or never; absent: the front's"),
		field("priority", name(maxName), func(r *Route) *string { return &r.Priority }, "",
			"class of the jobs, like batch"),
		field("cors", mappingOf("cors", corsKeys), func(r *Route) *CORS { return &r.CORS }, "",
			"which pages of other origins may read answers; absent: as the front's says"),
		field("repeat", oneOf(RepeatSafe, RepeatAlways, RepeatNever), func(r *Route) *Repeat { return &r.Repeat }, string(RepeatSafe),
			"which jobs may run twice after a loss: those of safe methods, always, never"),
		field("max_body", sizes[Size](1, math.MaxInt64), func(r *Route) *Size { return &r.MaxBody }, "",
			"largest request body (413); absent: the front's"),
		field("body_timeout", span{least: time.Nanosecond}.kind(), func(r *Route) *time.Duration { return &r.BodyTimeout }, "",
			"how long a request's body may take (408); absent: the front's"),
		field("spool_above", sizes[Size](1, math.MaxInt32), func(r *Route) *Size { return &r.SpoolAbove }, "",
			"larger bodies reach workers by a file in the front's spool; absent: none do"),
		field("client_header", fieldName(), func(r *Route) *string { return &r.ClientHeader }, "",
			"header field by which clients are told apart, for their turns at the stages; absent: the front's"),
	}
}

func stageKeys() []key[Stage] {
	return []key[Stage]{
		proxyEnds("upstream", upstreamEnd,
			"endpoint where jobs of fronts and other stages come in, or a list with one for each proxy"),
		proxyEnds("downstream", downstreamEnd,
			"endpoint where the stage's workers connect, or a list with one for each proxy"),
		field("proxies", whole(1, MaxProxies), func(s *Stage) *int { return &s.Proxies }, "",
			"how many proxies share the stage's jobs; absent: as many as it has endpoints"),
		field("worker", word("the name of a worker", schema{"type": "string", "minLength": 1}, notEmpty), func(s *Stage) *string { return &s.Worker }, "",
			"Go worker, by the name it was registered under"),
		field("command", program(), func(s *Stage) *[]string { return &s.Command }, "",
			"worker program with its arguments, started and watched"),
		field("env", environment(), func(s *Stage) *map[string]string { return &s.Env }, "",
			"environment variables for command"),
		field("compat", oneOf(CompatPrimeServer), func(s *Stage) *string { return &s.Compat }, "",
			"workers of another project connect here: prime_server"),
		field("external", truth(), func(s *Stage) *bool { return &s.External }, "",
			"the stage's workers are started elsewhere"),
		field("count", whole(1, 4096), func(s *Stage) *int { return &s.Count }, "",
			"jobs that worker does at a time (default: one per core), or processes of command (default: 1)"),
		field("next", list(name(maxName), true), func(s *Stage) *[]string { return &s.Next }, "",
			"stages to which jobs may be forwarded; the stage's own name is a cycle"),
		field("max_visits", whole(1, math.MaxInt32), func(s *Stage) *int { return &s.MaxVisits }, "",
			"how often one job may enter the stage (508)"),
		field("max_queue", whole(1, math.MaxInt32), func(s *Stage) *int { return &s.MaxQueue }, "50000",
			"most jobs of fronts that wait for a worker (503)"),
		field("max_queue_bytes", sizes[Size](1, math.MaxInt64), func(s *Stage) *Size { return &s.MaxQueueBytes }, "1GiB",
			"most bytes of those jobs (503)"),
		field("max_forwarded", whole(1, math.MaxInt32), func(s *Stage) *int { return &s.MaxForwarded }, "500000",
			"how many more than max_queue wait in all until jobs of other stages are refused, too (503)"),
		field("max_forwarded_bytes", sizes[Size](1, math.MaxInt64), func(s *Stage) *Size { return &s.MaxForwardedBytes }, "512MiB",
			"how many bytes more than max_queue_bytes, likewise (503)"),
		field("admission", oneOf(AdmitQueue, AdmitDeadline), func(s *Stage) *Admission { return &s.Admission }, string(AdmitDeadline),
			"which jobs of fronts are taken while there is room: all, or those that can be done by their deadline (503)"),
		field("no_workers", oneOf(NoWorkersWait, NoWorkersRefuse), func(s *Stage) *NoWorkers { return &s.NoWorkers }, string(NoWorkersWait),
			"what becomes of jobs of fronts while there are no workers: they wait for one, or are refused (503)"),
		field("timeout", span{least: time.Nanosecond}.kind(), func(s *Stage) *time.Duration { return &s.Timeout }, "",
			"how long a worker may take for a job each time that it enters the stage (504); absent: the job's deadline"),
		field("repeat", oneOf(RepeatSafe, RepeatAlways, RepeatNever), func(s *Stage) *Repeat { return &s.Repeat }, string(RepeatSafe),
			"which jobs another worker gets when the first is lost or takes too long: those whose route says so, always, never"),
		field("attempts", whole(1, 255), func(s *Stage) *int { return &s.Attempts }, "3",
			"to how many workers a job is given in all, each time that it enters the stage"),
		field("max_hung", whole(1, 4096), func(s *Stage) *int { return &s.MaxHung }, "",
			"handlers of worker that may run on after timeout while their slots do other jobs; absent: as many as count"),
		field("max_age", span{least: time.Second}.kind(), func(s *Stage) *time.Duration { return &s.MaxAge }, "",
			"how long a process of command runs until another takes its place, a tenth more or less; absent: for ever"),
		field("mtls", stageMTLS(), func(s *Stage) *StageMTLS { return &s.MTLS }, "",
			"certificates of the stage's proxy and workers, where they have some of their own"),
	}
}

// program is a program's name with its arguments.
func program() kind[[]string] {
	k := list(anyText(), false)
	read := k.read
	k.read = func(c cursor) ([]string, bool) {
		before := len(c.r.problems)
		words, ok := read(c)
		if ok && before == len(c.r.problems) && words[0] == "" {
			c.problem("the program has no name", "")
		}
		return words, ok
	}
	return k
}

func notEmpty(s string) (string, *flaw) {
	if s == "" {
		return "", flawf("", "the name is empty")
	}
	return s, nil
}

func limitsKeys() []key[Limits] {
	return []key[Limits]{
		field("max_hops", whole(1, math.MaxInt32), func(l *Limits) *int { return &l.MaxHops }, "1000000",
			"how many stages a job may enter (508)"),
		field("front_grace", span{least: time.Nanosecond, never: true}.kind(), func(l *Limits) *time.Duration { return &l.FrontGrace }, "5s",
			"how long a front may be away before workers and proxies give its jobs up, or never"),
	}
}
