package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// filterFlags are what events are looked for by: each is a field of the API's requests, in kebab-case.
var filterFlags = []struct{ name, usage string }{
	{"subject", "the subject's sub; of an admin event, of who asked"},
	{"issuer", "the subject's issuer"},
	{"actor", "the sub of somebody who acted for the subject"},
	{"client", "the id of the client"},
	{"principal", "the principal's name or application id"},
	{"workspace", "the workspace's name"},
	{"rule", "the rule that decided"},
	{"outcome", "granted, denied or failed"},
	{"reason", "a reason of docs/errors.md"},
	{"decision-id", "the id of one event: of an exchange its decision id"},
	{"token-sha256", "the SHA-256 of a token in lower-case hex"},
	{"mint", "the id of a mint"},
	{"source", "the peer's address, or the source that a client claims"},
	{"type", "exchange, mint, admin, failures or subject"},
	{"action", "what an admin event did, such as policy.load"},
	{"object", "what an admin event did it to"},
}

// filters are those flags of one command.
type filters struct {
	cmd    *cobra.Command
	values map[string]*string
}

// filtersOf adds the flags to a command: all of them, or those that are named.
func filtersOf(cmd *cobra.Command, names ...string) *filters {
	f := &filters{cmd: cmd, values: map[string]*string{}}
	for _, flag := range filterFlags {
		if len(names) == 0 || slices.Contains(names, flag.name) {
			f.values[flag.name] = cmd.Flags().String(flag.name, "", flag.usage)
		}
	}
	return f
}

// fill sets the fields of a request whose flags were given. An empty value would let everything pass, and is nearly always
// a variable of the shell that isn't set.
func (f *filters) fill(request proto.Message) error {
	m := request.ProtoReflect()
	for name, value := range f.values {
		if !f.cmd.Flags().Changed(name) {
			continue
		}
		if *value == "" {
			return fmt.Errorf("--%s is empty; leave it out to let everything pass", name)
		}
		field := m.Descriptor().Fields().ByName(protoreflect.Name(strings.ReplaceAll(name, "-", "_")))
		m.Set(field, protoreflect.ValueOfString(*value))
	}
	return nil
}

// period is the flags --from and --to.
type period struct{ from, to string }

func (p *period) flags(cmd *cobra.Command, from string) {
	const forms = "a time (RFC 3339), a day (2026-11-24, UTC), or how long ago (90m, 24h, 7d)"
	cmd.Flags().StringVar(&p.from, "from", from, "the first moment that is wanted: "+forms)
	cmd.Flags().StringVar(&p.to, "to", "", "the first moment that is not wanted any more; likewise")
}

// times are both ends; nil for one that isn't set.
func (p *period) times(now time.Time) (from, to *timestamppb.Timestamp, err error) {
	if from, err = moment("--from", p.from, now); err != nil {
		return nil, nil, err
	}
	to, err = moment("--to", p.to, now)
	return from, to, err
}

// again are the flags of a period that was resolved: how long ago something was is another moment the next time.
func again(from, to *timestamppb.Timestamp) (flags string) {
	if from != nil {
		flags += " --from " + from.AsTime().Format(time.RFC3339Nano)
	}
	if to != nil {
		flags += " --to " + to.AsTime().Format(time.RFC3339Nano)
	}
	return flags
}

func moment(flag, text string, now time.Time) (*timestamppb.Timestamp, error) {
	if text == "" {
		return nil, nil
	}
	at, err := parseMoment(text, now)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", flag, err)
	}
	return timestamppb.New(at), nil
}

var errMoment = errors.New("write a time such as 2026-11-24T10:00:00Z, a day such as 2026-11-24, or how long ago, such as 90m, 24h or 7d")

func parseMoment(text string, now time.Time) (time.Time, error) {
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at, nil
	}
	if at, err := time.Parse(time.DateOnly, text); err == nil {
		return at, nil
	}
	ago, err := time.ParseDuration(text)
	if days, isDays := strings.CutSuffix(text, "d"); isDays {
		var n uint64
		n, err = strconv.ParseUint(days, 10, 16)
		ago = time.Duration(n) * 24 * time.Hour
	}
	if err != nil || ago < 0 {
		return time.Time{}, errMoment
	}
	return now.Add(-ago), nil
}

// formFlag is -o.
func formFlag(cmd *cobra.Command, machine *bool) {
	cmd.Flags().VarP((*formValue)(machine), "output", "o", "json for machines: one object a line, as the API has it")
}

// formValue is the value of -o: whether it is for machines.
type formValue bool

// Set implements pflag.Value.
func (f *formValue) Set(text string) error {
	if text != "json" {
		return fmt.Errorf("unknown form %q; there is json", text)
	}
	*f = true
	return nil
}

// String implements pflag.Value.
func (f *formValue) String() string {
	if *f {
		return "json"
	}
	return ""
}

// Type implements pflag.Value.
func (*formValue) Type() string { return "form" }
