package audit

import "syscall"

// spaceOf asks the file system, as df does: what is reserved for root is neither free nor part of the size.
func spaceOf(directory string) (free, size uint64, err error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(directory, &s); err != nil {
		return 0, 0, err
	}
	block := uint64(s.Bsize) //nolint:gosec,unconvert // positive; and of another type on other machines
	return s.Bavail * block, (s.Blocks - s.Bfree + s.Bavail) * block, nil
}
