//go:build !unix

package export

import "os"

// lock does nothing where there is no flock: only one process may export what stands in a directory, and into a file.
func lock(*os.File) error { return nil }

// fileNumber would tell a file from others that have had its path.
func fileNumber(os.FileInfo) string { return "" }

func unlock(*os.File) error { return nil }
