package export

import (
	"net"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/butterfly-zmq/butterfly/pipeline/graph"
)

// Systemd returns units for one machine: a service for each front, for the
// proxy and for the workers of each stage, and a target for all of them. The
// graph's file belongs into /etc/butterfly. Endpoints stay as the graph has
// them; those that it leaves out are sockets in a directory that the units
// share, and nobody else enters.
func Systemd(g *graph.Graph, c Config) ([]File, error) {
	p, f := newPlan(g, c)
	s := &systemd{plan: p}
	s.check(f)
	if err := f.err(); err != nil {
		return nil, err
	}
	units := s.units()
	target, err := render(p.Name+".target", "systemd.target", targetView{p.Name, s.description(), files(units)})
	if err != nil {
		return nil, err
	}
	graphFile, err := encode(p.Name+".yaml", g)
	if err != nil {
		return nil, err
	}
	all := []File{graphFile, target}
	for _, u := range units {
		file, err := render(u.File, "systemd.service", u)
		if err != nil {
			return nil, err
		}
		all = append(all, file)
	}
	return all, nil
}

// systemdDir is below /etc, /run, /var/log and /opt: a directory of ours, so
// that no graph gets hold of one of the system's by its name.
const systemdDir = "butterfly"

// userPrefix keeps the names of users apart from those of the system: a dynamic
// user would be the one that there is.
const userPrefix = "bf-"

type systemd struct{ *plan }

// runDir is where sockets are.
func (s *systemd) runDir() string { return path.Join("/run", systemdDir, s.Name) }

// logDir is where units may write logs.
func (s *systemd) logDir() string { return path.Join("/var/log", systemdDir, s.Name) }

// check finds what units on one machine cannot do.
func (s *systemd) check(f *faults) {
	if s.Config.Replicas > 1 {
		f.flag("--fronts", "name the fronts in the graph, each with an address of its own", "%d of a front cannot listen at one address", s.Config.Replicas)
	}
	if slices.Contains(systemTargets, s.Name) {
		f.flag("--name", "choose another", "systemd itself has a %s.target", s.Name)
	}
	for i := range s.Fronts {
		own := &s.Fronts[i]
		s.checkEndpoint(f, own.Position, own.path+".loopback", own.Loopback)
		s.checkEndpoint(f, own.Position, own.path+".interrupt", own.Interrupt)
		if log := own.AccessLog; log != "" && log != "-" && !below(s.logDir(), log) {
			f.at(own.Position, own.path+".access_log", "write - for the journal, or a file in "+s.logDir(), "the unit may not write %q", log)
		}
	}
	for _, own := range s.Stages {
		for _, p := range own.Proxies {
			s.checkEndpoint(f, own.Position, "stages."+own.Name+".upstream", p.At.Upstream)
			s.checkEndpoint(f, own.Position, "stages."+own.Name+".downstream", p.At.Downstream)
		}
		if !own.Own {
			s.checkOutside(f, own)
		}
	}
}

// checkOutside reports endpoints that workers who are started elsewhere need,
// and that are sockets of the units' own.
func (s *systemd) checkOutside(f *faults, own stage) {
	var closed []string
	need := func(path string, e graph.Endpoint) {
		if file, isFile := strings.CutPrefix(e.Connect, "ipc://"); (e.IsZero() || isFile && !strings.HasPrefix(file, "@")) && !slices.Contains(closed, path) {
			closed = append(closed, path)
		}
	}
	for _, p := range own.Proxies {
		need("stages."+own.Name+".downstream", p.At.Downstream)
	}
	for _, front := range s.Fronts {
		need(front.path+".loopback", front.Loopback)
		need(front.path+".interrupt", front.Interrupt)
	}
	for _, name := range own.Next {
		if next, ok := s.g.Stage(name); ok {
			for _, p := range next.Pairs() {
				need("stages."+name+".upstream", p.Upstream)
			}
		}
	}
	if len(closed) > 0 {
		f.at(own.Position, "stages."+own.Name, "write tcp://host:port or tls+tcp://host:port there",
			"its workers are started elsewhere, and these would be sockets that only the units may enter: %s", strings.Join(closed, ", "))
	}
}

// checkEndpoint reports a socket file where a unit can write none.
func (s *systemd) checkEndpoint(f *faults, at graph.Position, path string, e graph.Endpoint) {
	for _, one := range []string{e.Bind, e.Connect} {
		file, isFile := strings.CutPrefix(one, "ipc://")
		if isFile && !strings.HasPrefix(file, "@") && !below(s.runDir(), file) {
			f.at(at, path, "leave it out, or choose a file in "+s.runDir(), "the units cannot meet at %s", one)
			return
		}
	}
}

// below reports whether file is in the directory dir.
func below(dir, file string) bool {
	return path.Dir(path.Clean(file)) == dir
}

// systemTargets are the targets of systemd.special(7), and others that come
// with systemd.
var systemTargets = []string{
	"basic", "blockdev", "bluetooth", "boot-complete", "cryptsetup", "cryptsetup-pre", "ctrl-alt-del", "default", "emergency",
	"exit", "factory-reset", "final", "first-boot-complete", "getty", "getty-pre", "graphical", "graphical-session",
	"graphical-session-pre", "halt", "hibernate", "hybrid-sleep", "initrd", "initrd-fs", "initrd-root-device",
	"initrd-root-fs", "initrd-switch-root", "initrd-usr-fs", "integritysetup", "integritysetup-pre", "kbrequest", "kexec",
	"local-fs", "local-fs-pre", "machines", "multi-user", "network", "network-online", "network-pre", "nss-lookup",
	"nss-user-lookup", "paths", "poweroff", "printer", "reboot", "remote-cryptsetup", "remote-fs", "remote-fs-pre",
	"remote-veritysetup", "rescue", "rpcbind", "runlevel0", "runlevel1", "runlevel2", "runlevel3", "runlevel4", "runlevel5",
	"runlevel6", "shutdown", "sigpwr", "sleep", "slices", "smartcard", "sockets", "soft-reboot", "sound", "ssh-access",
	"storage-target-mode", "suspend", "suspend-then-hibernate", "swap", "sysinit", "system-update", "system-update-pre",
	"time-set", "time-sync", "timers", "tpm2", "umount", "usb-gadget", "veritysetup", "veritysetup-pre",
	"xdg-desktop-autostart",
}

type targetView struct {
	Name, Description string
	Wants             []string
}

// unit is a service.
type unit struct {
	Service     string
	File        string
	Description string
	Binary      string
	Role        string
	After       []string // stopped before these
	Dir         string
	User        string
	Stop        int // seconds
	Descriptors int
	Low         bool // binds a port that only root may have
	Logs        bool
	Command     bool
	Secure      bool // it reads a key
}

func (s *systemd) description() string { return "butterfly service " + s.Name }

// units returns the services, those first that are stopped last: proxies,
// workers, fronts.
func (s *systemd) units() []unit {
	var proxies, workers, fronts []unit
	for _, own := range s.Stages {
		for _, p := range own.Proxies {
			u := s.unit(p.Part, p.Role)
			u.Low = u.Low || low(p.At.Upstream.Bind) || low(p.At.Downstream.Bind)
			proxies = append(proxies, u)
		}
	}
	for _, own := range s.Stages {
		if own.Own {
			u := s.unit("workers-"+own.Label, graph.Role{Kind: graph.RoleWorkers, Name: own.Name})
			u.After = files(proxies)
			u.Command = len(own.Command) > 0
			workers = append(workers, u)
		}
	}
	for i := range s.Fronts {
		own := &s.Fronts[i]
		u := s.unit(own.Part, graph.Role{Kind: graph.RoleFront, Name: own.Name})
		u.After = slices.Concat(files(proxies), files(workers))
		u.Low = u.Low || low(own.Listen) || low(own.Loopback.Bind) || low(own.Interrupt.Bind)
		u.Logs = own.AccessLog != "" && own.AccessLog != "-"
		u.Descriptors = max(u.Descriptors, own.MaxConns+spareDescriptors)
		fronts = append(fronts, u)
	}
	return slices.Concat(proxies, workers, fronts)
}

// Descriptors that a unit may open: at least, and beside connections of clients.
const (
	leastDescriptors = 65536
	spareDescriptors = 16384
)

func (s *systemd) unit(part string, role graph.Role) unit {
	return unit{
		Service: s.Name, File: s.Name + "-" + part + ".service",
		Description: s.description() + ", " + role.String(),
		Binary:      s.Binary, Role: role.String(),
		Dir: systemdDir, User: userPrefix + s.Name,
		Stop: s.Stop, Descriptors: leastDescriptors, Low: low(s.g.MetricsAt(role)),
		Secure: s.secure(role),
	}
}

// low reports whether an endpoint or address has a port below 1024.
func low(at string) bool {
	_, text, err := net.SplitHostPort(strings.TrimPrefix(strings.TrimPrefix(at, "tls+"), "tcp://"))
	port, notNumber := strconv.Atoi(text)
	return err == nil && notNumber == nil && 0 < port && port < 1024
}

func files(units []unit) []string {
	all := make([]string, len(units))
	for i, u := range units {
		all[i] = u.File
	}
	return all
}
