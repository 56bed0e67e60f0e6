package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// lock makes the folder and keeps other runs of this program out of it until
// the returned function is called. It leaves no file behind: what is locked
// is the folder itself, and looked at again, as its last holder may have
// removed it (which is the last thing a holder may do).
func lock(folder string) (unlock func(), err error) {
	for range 1000 {
		if err := os.MkdirAll(folder, 0o700); errors.Is(err, fs.ErrExist) {
			continue // it was there, and is gone again
		} else if err != nil {
			return nil, err
		}
		held, err := os.Open(folder)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return nil, err
		}
		if err := syscall.Flock(int(held.Fd()), syscall.LOCK_EX); err != nil {
			held.Close()
			return nil, err
		}
		ours, err := held.Stat()
		if err != nil {
			held.Close()
			return nil, err
		}
		if there, err := os.Stat(folder); err == nil && os.SameFile(ours, there) {
			return func() { held.Close() }, nil
		}
		held.Close()
	}
	return nil, fmt.Errorf("cannot hold the folder %s: it never stays", folder)
}
