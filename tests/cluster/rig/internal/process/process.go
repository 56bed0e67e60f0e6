// Package process starts the programs of a cluster as children that end with
// their parent, and ends a parent by the pid it left behind.
package process

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Spec is one program to run.
type Spec struct {
	Name string   // names its log: NAME.log
	Path string   // the binary
	Args []string // without the program's own name
	Env  []string // added to the environment
	Dir  string   // where it runs
}

// Exit tells that a child ended, which none should by itself.
type Exit struct {
	Name string
	Err  error
}

// Group is the children of one process. They are killed when the thread that
// started them ends, so Start is to be called from a locked main goroutine.
type Group struct {
	Logs   string // folder of the logs
	Pids   string // folder of the pid files; none are written when empty
	Exited chan Exit
}

// NewGroup keeps its logs in the folder, which is made.
func NewGroup(logs string) (*Group, error) {
	return &Group{Logs: logs, Exited: make(chan Exit, 16)}, os.MkdirAll(logs, 0o755)
}

// Start runs the program; its end is told on Exited.
func (g *Group) Start(spec Spec) error {
	log, err := os.Create(filepath.Join(g.Logs, spec.Name+".log"))
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(spec.Path, spec.Args...)
	cmd.Args[0] = spec.Name
	cmd.Dir = spec.Dir
	cmd.Env = append(os.Environ(), spec.Env...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("cannot start %s: %w", spec.Name, err)
	}
	go func() { g.Exited <- Exit{spec.Name, cmd.Wait()} }()
	if g.Pids == "" {
		return nil
	}
	return Record(filepath.Join(g.Pids, spec.Name+".pid"), cmd.Process.Pid)
}

// Wait returns when a child ended, with the end of its log.
func (g *Group) Wait() error {
	exit := <-g.Exited
	log, err := os.ReadFile(filepath.Join(g.Logs, exit.Name+".log"))
	if err != nil {
		return err
	}
	lines := strings.Split(strings.TrimSpace(string(log)), "\n")
	last := strings.Join(lines[max(0, len(lines)-3):], "\n")
	return fmt.Errorf("%s ended by itself: %v; its log ends with\n%s", exit.Name, exit.Err, last)
}

// Record writes the pid file of the process: its pid and the time it started,
// by which a later process of the same pid is told apart.
func Record(path string, pid int) error {
	started, err := startTime(pid)
	if err != nil {
		return err
	}
	return os.WriteFile(path, fmt.Appendf(nil, "%d %s\n", pid, started), 0o644)
}

// Recorded returns the pid in the pid file when that very process still runs,
// else 0.
func Recorded(path string) (int, error) {
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	} else if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(content))
	if len(fields) != 2 {
		return 0, fmt.Errorf("%s: not a pid and a start time: %q", path, content)
	}
	pid, err := strconv.Atoi(fields[0])
	if err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	if started, err := startTime(pid); err != nil || started != fields[1] {
		return 0, nil
	}
	return pid, nil
}

// Kill ends the recorded process and waits until it is gone. It had nothing
// to save: every state of a test cluster is thrown away.
func Kill(path string) error {
	pid, err := Recorded(path)
	if err != nil || pid == 0 {
		return err
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("cannot end process %d of %s: %w", pid, path, err)
	}
	for range 200 {
		if pid, err = Recorded(path); err != nil || pid == 0 {
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
	return fmt.Errorf("process %d of %s is still there 10 s after it was killed", pid, path)
}

// startTime is field 22 of /proc/PID/stat, in clock ticks since the boot. A
// zombie counts as gone.
func startTime(pid int) (string, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", err
	}
	// The second field is the program's name in brackets, which may hold anything.
	_, rest, found := strings.Cut(string(stat[strings.LastIndexByte(string(stat), ')')+1:]), " ")
	fields := strings.Fields(rest)
	if !found || len(fields) < 20 || fields[0] == "Z" {
		return "", fs.ErrNotExist
	}
	return fields[19], nil
}
