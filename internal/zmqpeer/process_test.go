package zmqpeer

import (
	"os"
	"path/filepath"
	"testing"
)

func TestProcessTalks(t *testing.T) {
	script := filepath.Join(t.TempDir(), "talk.py")
	source := "import sys\nprint('ready', sys.argv[1])\nprint('heard', input())\ninput()\n"
	if err := os.WriteFile(script, []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	p := Start(t, script, "now")
	if got := p.Expect("ready"); got != "now" {
		t.Errorf("the argument is %q", got)
	}
	p.Tell("hello")
	if got := p.Line(); got != "heard hello" {
		t.Errorf("the peer says %q", got)
	}
	p.Kill()
	p.Kill()
}
