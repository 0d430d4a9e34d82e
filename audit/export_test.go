package audit

import "os"

// File is what tests replace to make the disk fail.
type File = file

// FailFiles makes l open its segments through wrap from now on, the present one included.
func (l *Log) FailFiles(wrap func(path string, f File) (File, error)) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.create = func(path string) (file, error) {
		f, err := createFile(path)
		if err != nil {
			return nil, err
		}
		wrapped, err := wrap(path, f)
		if err != nil {
			_ = f.Close()
			_ = os.Remove(path)
		}
		return wrapped, err
	}
	l.segment.disk.Lock()
	defer l.segment.disk.Unlock()
	wrapped, err := wrap(l.segment.path, l.segment.file)
	l.segment.file = wrapped
	return err
}

// Tick does at once what the log does twice a second.
func (l *Log) Tick() { l.tick() }
