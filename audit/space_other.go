//go:build !linux

package audit

import "errors"

// spaceOf can't tell here.
func spaceOf(string) (free, size uint64, err error) { return 0, 0, errors.ErrUnsupported }
