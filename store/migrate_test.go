package store_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lakegate/sts/exchange"
)

// stepper is a ledger whose schema can be taken back.
type stepper interface {
	exchange.Ledger
	StepBack(ctx context.Context) error
}

// entry is what stands under a key.
type entry struct {
	Value   string
	Version uint64
}

// migrationsKeep holds that entries outlive a step back, work with the schema before, and the step forward again. exec
// runs a statement by itself; write are those by which the program before would put the key "by-the-one-before".
func migrationsKeep(t *testing.T, open func() stepper, exec func(statement string) error, write ...string) {
	t.Helper()
	l := open()
	keys := []string{"issuer/keys", "policy/versions", "ending", "empty", strings.Repeat("k", 512)}
	read := func(l exchange.Ledger) map[string]entry {
		t.Helper()
		all := map[string]entry{}
		for _, key := range keys {
			value, version, err := l.Get(t.Context(), key)
			if err != nil || version == 0 {
				t.Fatalf("%.20s: version %d, %v", key, version, err)
			}
			all[key] = entry{Value: string(value), Version: version}
		}
		return all
	}
	put := func(l exchange.Ledger, key, value string, version uint64) {
		t.Helper()
		until := time.Time{}
		if key == "ending" {
			until = time.Now().Add(time.Hour)
		}
		if err := l.Put(t.Context(), key, []byte(value), version, until); err != nil {
			t.Fatal(err)
		}
	}
	for i, key := range keys {
		put(l, key, strings.Repeat("\x00\xff'", 1000*i), 0)
	}
	put(l, "issuer/keys", "sealed", read(l)["issuer/keys"].Version)
	before := read(l)
	if err := l.StepBack(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, statement := range write {
		if err := exec(statement); err != nil {
			t.Fatalf("the program before: %s: %v", statement, err)
		}
	}
	l = open()
	if diff := cmp.Diff(before, read(l)); diff != "" {
		t.Errorf("after a step back and forward (-want +got):\n%s", diff)
	}
	value, version, err := l.Get(t.Context(), "by-the-one-before")
	if string(value) != "old" || err != nil {
		t.Errorf("what the program before has put: %q, %v", value, err)
	}
	for _, e := range before {
		if version <= e.Version {
			t.Errorf("version %d was given out after %d", version, e.Version)
		}
	}
	put(l, "by-the-one-before", "new", version)
	if err := exec("INSERT INTO ledger (key, value, version) VALUES ('" + strings.Repeat("k", 513) + "', 'x', 1)"); err == nil {
		t.Error("the table takes a key of 513 bytes")
	}
}
