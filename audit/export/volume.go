package export

import (
	"context"
	"time"
)

// Uploader writes files to where a data platform reads them. The implementation is databricks.Volume.
type Uploader interface {
	// Upload puts a file of that name into the folder, whole or not at all, in the place of one that is there. Its errors
	// are *exchange.Error: CodeUnavailable where it may be tried again, CodeUpstream where somebody has to mend something.
	Upload(ctx context.Context, name string, content []byte) error
}

// Volume writes each batch as a file of JSON lines, named by log and stretch, so that one that comes again is the same file.
type Volume struct{ Uploader Uploader }

var _ Destination = (*Volume)(nil)

// Limits implements Destination: a file a minute and log, or one each 16 MiB. Many small files make a slow table.
func (*Volume) Limits() Limits {
	return Limits{Records: 100_000, Bytes: 16 << 20, Wait: time.Minute, Timeout: time.Minute}
}

// Send implements Destination.
func (v *Volume) Send(ctx context.Context, b *Batch) error {
	return v.Uploader.Upload(ctx, b.Name()+".jsonl", b.Body())
}
