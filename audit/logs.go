package audit

import (
	"errors"
	"fmt"
	"io/fs"
)

// Standing is a log as it stands in a directory, whoever wrote it.
type Standing struct {
	Origin  string
	Replica string
	// Newest is the path of its newest segment.
	Newest string
}

// Logs lists the logs that have segments in a directory: each replica's present one, and those that it had before.
func Logs(directory string) ([]Standing, error) {
	names, err := listSegments(directory)
	if err != nil {
		return nil, fmt.Errorf("listing the audit logs: %w", err)
	}
	var logs []Standing
	at := map[string]int{}
	for _, n := range names {
		header, err := readHeader(n.path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // retention was faster
		}
		if err != nil {
			return nil, fmt.Errorf("listing the audit logs: %w", err)
		}
		if header == nil {
			continue
		}
		i, known := at[header.Origin]
		if !known {
			i = len(logs)
			at[header.Origin] = i
			logs = append(logs, Standing{Origin: header.Origin, Replica: n.replica})
		}
		logs[i].Newest = n.path
	}
	return logs, nil
}

// Extent is which records of a log stand in a directory: [first, end), as far as whole lines go, behind its newest
// checkpoint, too, as a crash leaves them where nobody takes the log up again. ErrDropped says that retention has left none.
func Extent(directory, origin string) (first, end uint64, err error) {
	log, err := chainOf(directory, origin)
	if err != nil {
		return 0, 0, err
	}
	if first, err = log.firstKept(); err != nil {
		return 0, 0, err
	}
	end, err = log.count()
	return first, end, err
}

// FirstKept is the place of the first record of a log that retention has left. ErrDropped says that it has left none.
func FirstKept(directory, origin string) (uint64, error) {
	log, err := chainOf(directory, origin)
	if err != nil {
		return 0, err
	}
	return log.firstKept()
}

// CountRecords is how many records a log has had, as Extent counts them.
func CountRecords(directory, origin string) (uint64, error) {
	log, err := chainOf(directory, origin)
	if err != nil {
		return 0, err
	}
	return log.count()
}

// NextKept is the place of the first record of a log, from that place on, with which a segment begins that is there: for a
// reader who can't go on where he is. ok is false where there is none.
func NextKept(directory, origin string, from uint64) (place uint64, ok bool, err error) {
	log, err := chainOf(directory, origin)
	if err != nil {
		return 0, false, err
	}
	for _, p := range log.parts {
		if p.path != "" && p.first >= from {
			return p.first, true, nil
		}
	}
	return 0, false, nil
}

func (c *chain) firstKept() (uint64, error) {
	for _, p := range c.parts {
		if p.path != "" {
			return p.first, nil
		}
	}
	return 0, ErrDropped
}

func (c *chain) count() (uint64, error) {
	last := c.parts[len(c.parts)-1]
	if last.path == "" {
		return last.size, nil // retention has dropped it
	}
	count := last.first
	if _, err := scanLines(last.path, -1, func(line) bool { count++; return true }); err != nil {
		return 0, fmt.Errorf("counting records: %w", err)
	}
	return count, nil
}
