//go:build unix

package export

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// lock takes a lock that ends with the file, or with this process.
func lock(f *os.File) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return errLocked
	}
	return err
}

// fileNumber tells a file from others that have had its path.
func fileNumber(info os.FileInfo) string {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return fmt.Sprintf(" (%d:%d)", s.Dev, s.Ino)
	}
	return ""
}

func unlock(f *os.File) error { return syscall.Flock(int(f.Fd()), syscall.LOCK_UN) }
