//go:build !unix

package audit

import (
	"os"
	"path/filepath"
)

// lockReplica only marks the directory where there is no flock(2): give each process its own.
func lockReplica(directory, replica string) (*os.File, error) {
	return os.OpenFile(filepath.Join(directory, replica+".lock"), os.O_RDWR|os.O_CREATE, 0o600)
}
