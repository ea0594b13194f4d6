package supervise

import (
	"context"
	"os/exec"
	"time"
)

// abortGrace is how long a program that hangs has to write down where, when it
// is aborted.
const abortGrace = time.Second

// Replace asks the program to end, and starts it again when it has, without a
// pause. A program that finishes its work first may take its time; nobody kills
// it for that. Replace returns when it has been started, or could not be, when
// Run has returned, or with ctx's cause when ctx ends.
func (k *Keeper) Replace(ctx context.Context) error {
	started := make(chan struct{})
	select {
	case k.replace <- started:
	case <-k.done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	select {
	case <-started:
	case <-k.done:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}

// Abort ends the program, which hangs, if it still is the process of that pid:
// with SIGABRT where there are signals, by which many say where they are, and a
// second later for good. It is started again as one that failed. Abort does not
// block; asking twice is asking once.
func (k *Keeper) Abort(pid int) {
	select {
	case k.abort <- pid:
	default: // one is asked for already; who asks again in time is heard
	}
}

// attend waits for the program's end, and brings it about when told to. It
// returns whom to tell of the next start, if that was asked for.
func (k *Keeper) attend(ctx context.Context, cmd *exec.Cmd, ended <-chan error) (started chan<- struct{}, err error) {
	stop, replace := k.stop, k.replace
	var last <-chan time.Time // when it is killed
	for {
		select {
		case err = <-ended:
			sweep(cmd)
			return started, err
		case started = <-replace:
			replace = nil
			terminate(cmd)
		case <-stop:
			stop = nil
			terminate(cmd)
			if last == nil {
				last = time.After(k.cfg.Grace)
			}
		case pid := <-k.abort:
			if pid == cmd.Process.Pid {
				k.log.Error("aborted", "reason", "it hangs", "pid", pid)
				abort(cmd)
				last = time.After(abortGrace)
			}
		case <-last:
			k.log.Warn("killed", "pid", cmd.Process.Pid)
			sweep(cmd)
			return started, <-ended
		case <-ctx.Done():
			sweep(cmd)
			return started, <-ended
		}
	}
}
