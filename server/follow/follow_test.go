package follow_test

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/lakegate/sts/server/follow"
)

func TestFiles(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	name := filepath.Join(t.TempDir(), "file")
	write := func(text string) {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(name, time.Time{}, now); err != nil {
			t.Fatal(err)
		}
	}
	loads := 0
	open := func() (*follow.Files[string], error) {
		return follow.Open(follow.Config[string]{
			What: "the file", Names: []string{name}, Now: func() time.Time { return now }, Log: slog.New(slog.DiscardHandler),
			Load: func() (string, error) {
				loads++
				text, err := os.ReadFile(name)
				if string(text) == "bad" {
					return "", errors.New("it is bad")
				}
				return string(text), err
			},
		})
	}
	if _, err := open(); err == nil {
		t.Fatal("a file that isn't there was opened")
	}
	write("one")
	f, err := open()
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		name  string
		text  string // "" leaves the file as it is, "-" removes it
		later time.Duration
		want  string
		bad   bool
	}{
		{"as opened", "", 0, "one", false},
		{"a change within the second", "two", 500 * time.Millisecond, "one", false},
		{"a second later", "", time.Second, "two", false},
		{"a bad file", "bad", 2 * time.Second, "two", true},
		{"it is still bad", "", 2 * time.Second, "two", true},
		{"a good one", "three", 2 * time.Second, "three", false},
		{"none", "-", 2 * time.Second, "three", true},
		{"one again, while the clock goes back", "four", -time.Hour, "four", false},
	} {
		now = now.Add(step.later)
		switch step.text {
		case "":
		case "-":
			if err := os.Remove(name); err != nil {
				t.Fatal(err)
			}
		default:
			write(step.text)
		}
		if got, err := f.Look(); got != step.want || (err != nil) != step.bad || f.Get() != got {
			t.Errorf("%s: %q, %v", step.name, got, err)
		}
	}
	before := loads
	for range 5 {
		now = now.Add(2 * time.Second)
		f.Get()
	}
	if loads != before {
		t.Errorf("a file that didn't change was read %d times", loads-before)
	}
}
