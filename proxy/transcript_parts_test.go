package proxy

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/butterfly-zmq/butterfly/internal/wire"
	"github.com/butterfly-zmq/butterfly/loopback"
)

// part takes a part as a stage does.
func (p *player) part(job *loopback.Job, now time.Time) {
	whole, err := p.g.Take(job, now)
	if err != nil {
		p.printf("%s refused: %v", showKey(job), err)
	}
	if whole != nil {
		p.submit(whole)
	}
}

func (p *player) submit(job *loopback.Job) {
	if _, ok := job.Payload.(wire.Joined); ok {
		p.printf("%s hops=%d scattered=%t size=%d", showKey(job), job.Info.Hops, job.Info.Flags.Has(wire.Scattered), job.Size)
	}
	if err := p.b.Submit(job); err != nil {
		p.printf("%s refused: %v", showKey(job), err)
	}
}

// crowds shows parts that wait, at the Balancer and at the Gatherer, if any.
func (p *player) crowds() {
	var lines []string
	for _, x := range p.b.queue.crowds.all {
		for ; x != nil; x = x.twin {
			var parked []string
			for e := x.first; e != nil; e = e.next {
				parked = append(parked, showKey(e.job))
			}
			lines = append(lines, fmt.Sprintf("crowd %d:%d active=%d parked %v", x.id.key.ID, x.id.group, x.active, parked))
		}
	}
	slices.Sort(lines)
	for _, line := range lines {
		p.printf("%s", line)
	}
	if p.g.Waiting()+int(p.g.Ignored()) > 0 || !p.g.Quiet() {
		p.printf("parts=%d ignored=%d quiet=%t", p.g.Waiting(), p.g.Ignored(), p.g.Quiet())
	}
}

// partOf returns the job of a part.
func partOf(key string, args map[string]string) *loopback.Job {
	if args["hops"] == "" && args["way"] == "" {
		args["hops"] = "2"
	}
	job := jobOf(key, args)
	for name := range args {
		if index, total, ok := strings.Cut(name, "/"); ok && name != key {
			_, opening := args["opening"]
			join := "sum"
			if args["join"] != "" {
				join = args["join"]
			}
			job.Info.Flags |= wire.Scattered
			job.Info.Code = uint16(number(args["failed"]))
			job.Payload = wire.Frames{[]byte("part " + index)}
			job.Info.SetPiece(&wire.Piece{
				Index: uint32(number(index)), Total: uint32(number(total)), Group: uint32(number(args["group"])),
				Join: wire.StageHash(join), Width: uint32(number(args["width"])), Timeout: uint32(number(args["timeout"])),
				Policy: map[string]wire.Policy{"any": wire.Any, "best": wire.BestEffort}[args["policy"]],
				Failed: args["failed"] != "", Opening: opening,
			})
		}
	}
	return job
}
