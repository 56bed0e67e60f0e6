package main

import (
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
)

// One holder at a time, also when each removes the folder it held.
func TestLock(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "a", "b")
	var inside atomic.Int32
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 50 {
				unlock, err := lock(folder)
				if err != nil {
					t.Error(err)
					return
				}
				if inside.Add(1) != 1 {
					t.Error("two hold the folder at once")
				}
				inside.Add(-1)
				// The last thing a holder does: the next may come at once.
				if err := os.RemoveAll(folder); err != nil {
					t.Error(err)
				}
				unlock()
			}
		})
	}
	group.Wait()
}
