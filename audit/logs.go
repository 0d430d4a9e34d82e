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

// CountRecords counts the records of a log, as far as whole lines of it stand in a directory: behind its newest checkpoint,
// too, as a crash leaves them where nobody takes the log up again.
func CountRecords(directory, origin string) (uint64, error) {
	last, err := lastPart(directory, origin)
	if err != nil {
		return 0, err
	}
	if last.path == "" {
		return last.size, nil // retention has dropped it
	}
	count := last.first
	if _, err = scanLines(last.path, -1, func(line) bool { count++; return true }); err != nil {
		return 0, fmt.Errorf("counting records: %w", err)
	}
	return count, nil
}

func lastPart(directory, origin string) (*part, error) {
	replica, err := replicaOf(origin)
	if err != nil {
		return nil, err
	}
	log, err := openChain(directory, replica, origin)
	if err != nil {
		return nil, err
	}
	return log.parts[len(log.parts)-1], nil
}

// NextKept is the place of the first record of a log, from that place on, with which a segment begins that is there: for a
// reader who can't go on where he is. ok is false where there is none.
func NextKept(directory, origin string, from uint64) (place uint64, ok bool, err error) {
	replica, err := replicaOf(origin)
	if err != nil {
		return 0, false, err
	}
	log, err := openChain(directory, replica, origin)
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
