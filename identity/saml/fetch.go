package saml

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"

	"github.com/lakegate/sts/internal/outbound"
)

// origin is where metadata comes from: equal origins give equal metadata.
type origin struct {
	provider string
	entityID string
	uri      string
	file     string
}

func originOf(p Provider) origin {
	return origin{provider: p.Name, entityID: p.EntityID, uri: p.MetadataURI, file: p.MetadataFile}
}

// errUnchanged is that the metadata is what it was.
var errUnchanged = errors.New("unchanged")

var errTooLarge = fmt.Errorf("the metadata is larger than %d bytes", maxMetadataBytes)

// load gets and reads the metadata.
func (s *source) load(ctx context.Context) (*metadata, error) {
	if s.origin.file != "" {
		return s.loadFile()
	}
	text, err := s.get(ctx)
	if errors.Is(err, outbound.ErrTooLarge) {
		err = errTooLarge
	}
	if err != nil {
		return nil, err
	}
	return parseMetadata(text, s.origin.entityID)
}

// loadFile reads the file if it isn't the one that was read last. A ConfigMap is changed by a symbolic link, so the
// file that the path leads to is what counts.
func (s *source) loadFile() (*metadata, error) {
	info, err := os.Stat(s.origin.file)
	if err != nil {
		return nil, fmt.Errorf("reading metadata_file: %w", err)
	}
	if last := s.read; last != nil && os.SameFile(last, info) && last.ModTime().Equal(info.ModTime()) && last.Size() == info.Size() {
		return nil, errUnchanged
	}
	file, err := os.Open(s.origin.file)
	if err != nil {
		return nil, fmt.Errorf("reading metadata_file: %w", err)
	}
	defer func() { _ = file.Close() }()
	text, err := io.ReadAll(io.LimitReader(file, maxMetadataBytes+1))
	if err != nil {
		return nil, fmt.Errorf("reading metadata_file: %w", err)
	}
	found, err := parseMetadata(text, s.origin.entityID)
	if err != nil {
		return nil, err // half written, perhaps: look again
	}
	s.read = info
	return found, nil
}

func (s *source) get(ctx context.Context) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.origin.uri, http.NoBody)
	if err != nil {
		return nil, errors.New("its address is no URL")
	}
	request.Header.Set("Accept", "application/samlmetadata+xml, application/xml, text/xml")
	response, err := s.client.Do(request)
	if err != nil {
		return nil, outbound.Redact(err)
	}
	defer func() { _ = response.Body.Close() }()
	s.clock.Answered(response.Header, s.now())
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answered %d", request.URL.Host, response.StatusCode)
	}
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", request.URL.Host, outbound.Redact(err))
	}
	return text, nil
}
