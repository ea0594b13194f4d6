package proxy

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/butterfly-zmq/butterfly/internal/wire"
	"github.com/butterfly-zmq/butterfly/loopback"
	"github.com/stretchr/testify/require"
)

var rewrite = flag.Bool("rewrite", false, "write what the transcripts in testdata really give")

// TestTranscripts plays testdata/*.txt. Every block is commands, one a line, a
// line "----", and what the Balancer decided. Lines with # are comments.
//
//	config [max=N] [bytes=N] [skew=MS] [chooser] [stage=NAME] [maxhops=N] [maxvisits=N] [repeat=safe|always|never] [attempts=N] [timeout=MS]
//	                                                a new Balancer; the chooser takes the slot whose beat is the job's key
//	join SLOT prime|butterfly
//	beat SLOT [text=BYTES] [done=KEY]
//	withdraw SLOT [done=KEY]
//	submit KEY [hops=N] [size=N] [deadline=MS] [plain] [repeatable] [way=NAME,…]
//	                                                plain: without extension; way: stages entered and counted before
//	requeue KEY
//	part KEY INDEX/TOTAL [as submit] [now=MS] [group=N] [join=NAME] [width=N] [timeout=MS] [policy=any|best] [failed=CODE] [opening]
//	                                                a part of a scattered job, to be joined at the stage sum: what the Gatherer
//	                                                makes of it is submitted
//	next [now=MS]                                   assignments until there is none
//	givenup SLOT done=KEY                           and the job tried again, if it may be
//	overdue now=MS                                  likewise
//	cancel KEY | expire now=MS | leave SLOT [retry] | clear | state
//
// A key is [INSTANCE/]ID. A part is shown as KEY#INDEX, a job of joined parts as
// KEY[INDEX …], with the code of one that failed and a - at one that is missing.
// Cancel and expire are for the Gatherer, too.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			got := play(t, string(text))
			if *rewrite {
				require.NoError(t, os.WriteFile(file, []byte(got), 0o644))
				return
			}
			require.Equal(t, string(text), got)
		})
	}
}

// play returns the transcript with the outputs as they are.
func play(t *testing.T, text string) string {
	p := newPlayer(BalancerConfig{})
	var out strings.Builder
	inOutput := false
	for line := range strings.Lines(text) {
		word := strings.TrimSpace(line)
		switch {
		case word == "":
			inOutput = false
			out.WriteString(line)
		case inOutput:
		case word == "----":
			inOutput = true
			out.WriteString(line)
			out.WriteString(p.flush())
		case strings.HasPrefix(word, "#"):
			out.WriteString(line)
		default:
			out.WriteString(line)
			p.run(t, strings.Fields(word))
		}
	}
	return out.String()
}

// player gives a Balancer the commands of a transcript.
type player struct {
	b     *Balancer
	g     *Gatherer
	slots map[string]*Slot
	names []string
	out   strings.Builder
}

func newPlayer(c BalancerConfig) *player {
	g := NewGatherer(GathererConfig{Stage: c.Stage, Skew: c.Skew, MaxBytes: c.MaxQueueBytes})
	return &player{b: NewBalancer(c), g: g, slots: map[string]*Slot{}}
}

func (p *player) flush() string {
	s := p.out.String()
	p.out.Reset()
	if s == "" {
		return "ok\n"
	}
	return s
}

func (p *player) printf(format string, args ...any) { fmt.Fprintf(&p.out, format+"\n", args...) }

func (p *player) run(t *testing.T, words []string) {
	args := options(words[1:])
	name := ""
	if len(words) > 1 {
		name = words[1]
	}
	switch words[0] {
	case "config":
		p.configure(args)
	case "join":
		kind := map[string]Kind{"prime": Prime, "butterfly": Butterfly}[words[2]]
		p.slots[name] = p.b.Join(kind, name)
		p.names = append(p.names, name)
	case "beat":
		p.b.Idle(p.slots[name], []byte(args["text"]), keyOf(args["done"]))
	case "leave":
		lost := p.b.Leave(p.slots[name])
		if _, ok := args["retry"]; ok {
			p.retry(lost)
			return
		}
		p.jobs("lost", lost)
	case "givenup":
		if job := p.b.GivenUp(p.slots[name], keyOf(args["done"])); job != nil {
			p.retry([]*loopback.Job{job})
		}
	case "withdraw":
		p.printf("%s left: %t", name, p.b.Withdraw(p.slots[name], keyOf(args["done"])))
	default:
		p.runJobs(t, words[0], name, args)
	}
}

// runJobs runs the commands that are about jobs.
func (p *player) runJobs(t *testing.T, command, name string, args map[string]string) {
	switch command {
	case "submit":
		if err := p.b.Submit(jobOf(name, args)); err != nil {
			p.printf("%s refused: %v", name, err)
		}
	case "requeue":
		p.b.Requeue(jobOf(name, args))
	case "part":
		p.part(partOf(name, args), at(args))
	case "requeuepart":
		p.b.Requeue(partOf(name, args))
	case "next":
		p.next(at(args))
	case "cancel":
		p.printf("cancelled %d", p.b.Cancel(keyOf(name)))
		p.g.Drop(keyOf(name))
	case "expire":
		p.jobs("expired", p.b.Expire(at(args)))
		joined, refused := p.g.Expire(at(args))
		for _, job := range joined {
			p.submit(job)
		}
		for _, r := range refused {
			p.printf("%s refused: %v", showKey(r.Job), r.Err)
		}
	case "overdue":
		p.retry(p.b.Overdue(at(args)))
	case "clear":
		p.jobs("cleared", p.b.Clear())
		p.jobs("cleared", p.g.Clear())
	case "state":
		p.state()
	default:
		t.Fatalf("unknown command %q", command)
	}
}

func (p *player) configure(args map[string]string) {
	c := BalancerConfig{
		Stage:         args["stage"],
		MaxHops:       number(args["maxhops"]),
		MaxVisits:     number(args["maxvisits"]),
		Names:         map[uint32]string{wire.StageHash("a"): "a", wire.StageHash("b"): "b"},
		MaxQueue:      number(args["max"]),
		MaxQueueBytes: int64(number(args["bytes"])),
		Skew:          time.Duration(number(args["skew"])) * time.Millisecond,
		Repeat:        map[string]Repeat{"always": RepeatAlways, "never": RepeatNever}[args["repeat"]],
		Attempts:      number(args["attempts"]),
		Timeout:       time.Duration(number(args["timeout"])) * time.Millisecond,
	}
	if _, ok := args["chooser"]; ok {
		c.Chooser = func(idle []Candidate, job *loopback.Job) int {
			for i, c := range idle {
				if string(c.Beat) == showKey(job) {
					return i
				}
			}
			return -1
		}
	}
	*p = *newPlayer(c)
}

func (p *player) next(now time.Time) {
	for a, ok := p.b.Next(now); ok; a, ok = p.b.Next(now) {
		if a.Slot == nil {
			p.printf("%s expired", showKey(a.Job))
			continue
		}
		p.printf("%s -> %s", showKey(a.Job), a.Slot.Owner)
	}
}

// retry does what a proxy does with jobs that may have run.
func (p *player) retry(jobs []*loopback.Job) {
	for _, job := range slices.Backward(jobs) {
		if !p.b.Retry(job) {
			p.printf("%s given up after %d", showKey(job), job.Info.Attempt+1)
			continue
		}
		p.printf("%s again, attempt %d", showKey(job), job.Info.Attempt)
		p.b.Requeue(job)
	}
}

func (p *player) jobs(what string, jobs []*loopback.Job) {
	for _, j := range jobs {
		p.printf("%s %s", what, showKey(j))
	}
}

// state shows everything: the queue, the idle in their order, every slot.
func (p *player) state() {
	s := p.b.Status()
	p.printf("slots=%d idle=%d queued=%d prime=%t done=%d", s.Slots, s.Idle, s.Queued, s.Prime, p.b.Done())
	var queued, idle []string
	for e := p.b.queue.first; e != nil; e = e.next {
		queued = append(queued, showKey(e.job))
	}
	for s := p.b.idle.first; s != nil; s = s.next {
		idle = append(idle, s.Owner.(string))
	}
	p.printf("queue %v idle %v", queued, idle)
	p.crowds()
	for _, name := range p.names {
		s := p.slots[name]
		line := fmt.Sprintf("%s %s", name, s.Kind())
		if s.held.job != nil {
			line += " holds " + showKey(s.held.job)
		}
		if s.maybe != nil {
			line += " maybe " + showKey(s.maybe)
		}
		if s.stuck {
			line += " stuck"
		}
		if s.idle {
			line += fmt.Sprintf(" idle %q", s.beat)
		}
		p.printf("%s", line)
	}
}

// options splits words of the form name=value; a word without = is a name.
func options(words []string) map[string]string {
	m := map[string]string{}
	for _, w := range words {
		name, value, _ := strings.Cut(w, "=")
		m[name] = value
	}
	return m
}

func number(s string) int {
	n, _ := strconv.Atoi(s)
	return n
}

// at reads now=MS; without it no deadline has passed.
func at(args map[string]string) time.Time {
	if args["now"] == "" {
		return time.Time{}
	}
	return time.UnixMilli(int64(number(args["now"])))
}

func keyOf(s string) wire.Key {
	instance, id, ok := strings.Cut(s, "/")
	if !ok {
		instance, id = "0", s
	}
	return wire.Key{Instance: uint64(number(instance)), ID: uint32(number(id))}
}

func showKey(j *loopback.Job) string {
	k := j.Info.Key()
	s := fmt.Sprint(k.ID)
	if k.Instance != 0 {
		s = fmt.Sprintf("%d/%d", k.Instance, k.ID)
	}
	if p := j.Info.Piece(); p != nil {
		s += fmt.Sprint("#", p.Index)
	}
	if joined, ok := j.Payload.(wire.Joined); ok {
		var parts []string
		for _, p := range joined {
			parts = append(parts, fmt.Sprint(p.Index, map[wire.PartState]string{
				wire.PartFailed: fmt.Sprint("!", p.Code), wire.PartMissing: "-",
			}[p.State]))
		}
		s += fmt.Sprint(parts)
	}
	return s
}

func jobOf(key string, args map[string]string) *loopback.Job {
	k := keyOf(key)
	job := &loopback.Job{Size: number(args["size"])}
	job.Info.ID = k.ID
	if _, ok := args["plain"]; ok {
		return job
	}
	job.Info.Extend()
	if _, ok := args["repeatable"]; ok {
		job.Info.Flags |= wire.Repeatable
	}
	job.Info.Instance, job.Info.Hops = k.Instance, uint32(number(args["hops"]))
	if d := number(args["deadline"]); d != 0 {
		job.Info.SetDeadline(time.UnixMilli(int64(d)))
	}
	if way := args["way"]; way != "" {
		var w wire.Way
		for stage := range strings.SplitSeq(way, ",") {
			w.Enter(wire.StageHash(stage), true)
			job.Info.Hops++
		}
		job.Info.Way = &w
	}
	return job
}
