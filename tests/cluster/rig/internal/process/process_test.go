package process

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

func TestKill(t *testing.T) {
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "sleep.pid")
	if err := Record(file, cmd.Process.Pid); err != nil {
		t.Fatal(err)
	}
	if pid, err := Recorded(file); err != nil || pid != cmd.Process.Pid {
		t.Errorf("recorded %d: %v", pid, err)
	}
	if err := Kill(file); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("it ended by itself")
	}
	if err := Kill(file); err != nil {
		t.Errorf("killed twice: %v", err)
	}
}

func TestWait(t *testing.T) {
	group, err := NewGroup(filepath.Join(t.TempDir(), "logs"))
	if err != nil {
		t.Fatal(err)
	}
	err = group.Start(Spec{Name: "speaker", Path: "/bin/sh", Args: []string{"-c", "seq 5; echo $MOOD; exit 3"}, Env: []string{"MOOD=sad"}})
	if err != nil {
		t.Fatal(err)
	}
	want := "speaker ended by itself: exit status 3; its log ends with\n4\n5\nsad"
	if err := group.Wait(); err == nil || err.Error() != want {
		t.Errorf("%v", err)
	}
}

// A pid may be somebody else's by now, as the start time shows.
func TestRecordedIsOfAnother(t *testing.T) {
	file := filepath.Join(t.TempDir(), "other.pid")
	if err := os.WriteFile(file, fmt.Appendf(nil, "%d 1\n", os.Getpid()), 0o644); err != nil {
		t.Fatal(err)
	}
	if pid, err := Recorded(file); err != nil || pid != 0 {
		t.Errorf("recorded %d: %v", pid, err)
	}
	if pid, err := Recorded(filepath.Join(t.TempDir(), "none")); err != nil || pid != 0 {
		t.Errorf("no file: %d, %v", pid, err)
	}
	if err := os.WriteFile(file, []byte("nonsense"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Recorded(file); err == nil {
		t.Error("nonsense is no error")
	}
}
