package emulator

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// FileClock returns a clock that runs ahead of the machine's by the Go duration that the file holds, read anew at each
// use, as the service does under the build tag testclock: both then move together. A missing or empty file means no
// offset. What can't be read as a duration leaves the offset as it was, because a test may write the file under our
// eyes.
func FileClock(path string) func() time.Time {
	var mu sync.Mutex
	var last time.Duration
	return func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		if offset, err := readOffset(path); err == nil {
			last = offset
		}
		return time.Now().Add(last)
	}
}

// WriteClock sets the offset that clocks on this file add. It replaces the file in one step, so that no reader sees half
// of it.
func WriteClock(path string, offset time.Duration) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".clock-*")
	if err != nil {
		return fmt.Errorf("writing clock: %w", err)
	}
	_, err = f.WriteString(offset.String() + "\n")
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return fmt.Errorf("writing clock: %w", err)
	}
	return nil
}

func readOffset(path string) (time.Duration, error) {
	text, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	trimmed := strings.TrimSpace(string(text))
	if trimmed == "" {
		return 0, nil
	}
	return time.ParseDuration(trimmed)
}
