package mapping

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/lakegate/sts/exchange"
)

// Version is a policy that was accepted.
type Version struct {
	Digest string    `json:"digest"`
	Time   time.Time `json:"time"`
	Rules  int       `json:"rules"`
	Files  []string  `json:"files"`
}

// The ledger holds one list of versions, and the files of each under its digest.
const (
	historyKey  = "policy/versions"
	contentKey  = "policy/content/"
	maxTries    = 10
	maxContents = 4 * maxFile // bytes, unpacked: a guard against what a damaged ledger could unpack to
)

// Versions are the accepted versions, newest first.
func (e *Engine) Versions(ctx context.Context) ([]Version, error) {
	versions, _, err := e.history(ctx)
	return versions, err
}

func (e *Engine) history(ctx context.Context) (versions []Version, at uint64, err error) {
	value, at, err := e.cfg.Ledger.Get(ctx, historyKey)
	if err != nil {
		return nil, 0, fmt.Errorf("reading the policy's versions from the ledger: %w", err)
	}
	if at == 0 {
		return nil, 0, nil
	}
	if err := json.Unmarshal(value, &versions); err != nil {
		return nil, 0, fmt.Errorf("decoding the policy's versions: %w", err)
	}
	return versions, at, nil
}

// keep remembers a policy as the newest version, unless it is that already. Replicas that load the same files at once
// leave one version behind.
func (e *Engine) keep(ctx context.Context, p *Policy) error {
	for range maxTries {
		versions, at, err := e.history(ctx)
		if err != nil {
			return err
		}
		if len(versions) > 0 && versions[0].Digest == p.digest {
			return nil
		}
		if err := e.keepContent(ctx, p); err != nil {
			return err
		}
		v := Version{Digest: p.digest, Time: e.cfg.Now().UTC(), Rules: len(p.rules)}
		for _, f := range p.files {
			v.Files = append(v.Files, f.Name)
		}
		versions = slices.Insert(versions, 0, v)
		dropped := versions[min(len(versions), e.cfg.History):]
		versions = versions[:len(versions)-len(dropped)]
		value, err := json.Marshal(versions)
		if err != nil {
			return fmt.Errorf("encoding the policy's versions: %w", err)
		}
		switch err := e.cfg.Ledger.Put(ctx, historyKey, value, at, time.Time{}); {
		case err == nil:
			return e.drop(ctx, dropped, versions)
		case !errors.Is(err, exchange.ErrConflict):
			return fmt.Errorf("writing the policy's versions to the ledger: %w", err)
		}
	}
	return fmt.Errorf("writing the policy's versions to the ledger: others were first %d times: %w", maxTries, exchange.ErrConflict)
}

// keepContent stores the files before the list names them. The same digest is the same content, so whoever is first is
// right; a version that had been dropped is kept again.
func (e *Engine) keepContent(ctx context.Context, p *Policy) error {
	_, at, err := e.cfg.Ledger.Get(ctx, contentKey+p.digest)
	if err != nil {
		return fmt.Errorf("reading policy %s from the ledger: %w", p.digest, err)
	}
	value, err := pack(p.files)
	if err != nil {
		return err
	}
	if err := e.cfg.Ledger.Put(ctx, contentKey+p.digest, value, at, time.Time{}); err != nil && !errors.Is(err, exchange.ErrConflict) {
		return fmt.Errorf("writing policy %s to the ledger: %w", p.digest, err)
	}
	return nil
}

// drop lets the ledger forget the files of versions that are no longer listed.
func (e *Engine) drop(ctx context.Context, dropped, kept []Version) error {
	for _, v := range dropped {
		if slices.ContainsFunc(kept, func(k Version) bool { return k.Digest == v.Digest }) {
			continue
		}
		_, at, err := e.cfg.Ledger.Get(ctx, contentKey+v.Digest)
		if err == nil && at != 0 {
			err = e.cfg.Ledger.Put(ctx, contentKey+v.Digest, nil, at, e.cfg.Now())
		}
		if err != nil && !errors.Is(err, exchange.ErrConflict) {
			return fmt.Errorf("dropping policy %s from the ledger: %w", v.Digest, err)
		}
	}
	return nil
}

// Content are the files of an accepted version.
func (e *Engine) Content(ctx context.Context, digest string) ([]File, error) {
	value, at, err := e.cfg.Ledger.Get(ctx, contentKey+digest)
	if err != nil {
		return nil, fmt.Errorf("reading policy %s from the ledger: %w", digest, err)
	}
	if at == 0 || len(value) == 0 {
		return nil, fmt.Errorf("the ledger has no policy %s", digest)
	}
	files, err := unpack(value)
	if err != nil {
		return nil, fmt.Errorf("unpacking policy %s: %w", digest, err)
	}
	if digestOf(files) != digest {
		return nil, fmt.Errorf("what the ledger keeps as policy %s is something else", digest)
	}
	return files, nil
}

// packed is the form of files in the ledger: JSON, gzipped.
type packed struct {
	Name string `json:"name"`
	Data []byte `json:"data"`
}

func pack(files []File) ([]byte, error) {
	var b bytes.Buffer
	list := make([]packed, len(files))
	for i, f := range files {
		list[i] = packed(f)
	}
	z := gzip.NewWriter(&b)
	if err := errors.Join(json.NewEncoder(z).Encode(list), z.Close()); err != nil {
		return nil, fmt.Errorf("packing the policy: %w", err)
	}
	return b.Bytes(), nil
}

func unpack(value []byte) ([]File, error) {
	z, err := gzip.NewReader(bytes.NewReader(value))
	if err != nil {
		return nil, err
	}
	var list []packed
	if err := json.NewDecoder(io.LimitReader(z, maxContents)).Decode(&list); err != nil {
		return nil, err
	}
	files := make([]File, len(list))
	for i, f := range list {
		files[i] = File(f)
	}
	return files, nil
}
