package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	stsv1 "github.com/lakegate/sts/api/sts/v1"
)

// eventTable is a table of events, each a row. The id stands last and whole: sts audit show takes it.
func eventTable(s screen) *table {
	return &table{screen: s, columns: []column{
		{"TIME", 0}, {"TYPE", 0}, {"OUTCOME", 0}, {"CLIENT", 20}, {"SUBJECT", 32}, {"TARGET", 36}, {"WHY", 36}, {"ID", 0},
	}}
}

// eventRow is an event as a row of that table.
func eventRow(e *stsv1.Event) []cell {
	colour := outcomeColour(e.GetOutcome())
	row := []cell{
		{stamp(e.GetTime()), plain}, {e.GetType(), plain}, {e.GetOutcome(), colour},
		{e.GetClient(), plain}, {e.GetSubject().GetSub(), plain}, {eventTarget(e), plain}, {}, {e.GetId(), faint},
	}
	why := &row[6]
	switch e.GetType() {
	case "exchange":
		why.text = e.GetRule()
	case "mint":
		why.text = e.GetCause()
	case "admin":
		row[4].text, why.text = e.GetCaller().GetSub(), e.GetAction()
		if e.GetEntrance() == "cli" {
			row[4].text = e.GetClaimed().GetSource() // the account that the command ran under
		}
	case "failures":
		var each []string
		for _, reason := range slices.Sorted(maps.Keys(e.GetReasons())) {
			each = append(each, fmt.Sprintf("%d %s", e.GetReasons()[reason], reason))
		}
		*why = cell{strings.Join(each, ", "), red}
	case "subject":
		row[4].text, why.text = e.GetSub(), e.GetProvider()
	}
	if e.GetReason() != "" {
		*why = cell{strings.TrimSuffix(e.GetReason()+" "+why.text, " "), colour}
	}
	return row
}

// eventTarget is what was become, or was asked for: workspace/principal; of other events what they are about.
func eventTarget(e *stsv1.Event) string {
	switch e.GetType() {
	case "admin":
		return e.GetObject()
	case "failures":
		return e.GetSource()
	}
	workspace, principal := e.GetWorkspace(), e.GetPrincipal()
	if principal == "" {
		workspace, principal = e.GetTarget().GetWorkspace(), e.GetTarget().GetPrincipal()
	}
	if workspace == "" && principal == "" {
		return e.GetTarget().GetResource()
	}
	return strings.TrimSuffix(workspace+"/"+principal, "/")
}

func outcomeColour(outcome string) string {
	switch outcome {
	case "granted":
		return green
	case "denied":
		return yellow
	case "failed":
		return red
	}
	return plain
}

// fact is a member of a message, for people.
type fact struct{ name, value string }

// facts are the members of a message that are set, in the order in which the API tells of them: a member of a member has
// both names, with a dot between.
func facts(m proto.Message) []fact { return factsOf("", m.ProtoReflect()) }

func factsOf(prefix string, m protoreflect.Message) (all []fact) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		if !m.Has(field) {
			continue
		}
		name, value := prefix+string(field.Name()), m.Get(field)
		switch {
		case field.IsMap():
			var each []fact
			value.Map().Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
				each = append(each, fact{name + "." + k.String(), v.String()})
				return true
			})
			slices.SortFunc(each, func(a, b fact) int { return strings.Compare(a.name, b.name) })
			all = append(all, each...)
		case field.IsList() && field.Message() != nil:
			for j := range value.List().Len() {
				all = append(all, member(name+"["+strconv.Itoa(j)+"]", value.List().Get(j).Message())...)
			}
		case field.IsList():
			each := make([]string, value.List().Len())
			for j := range each {
				each[j] = value.List().Get(j).String()
			}
			all = append(all, fact{name, strings.Join(each, ", ")})
		case field.Message() != nil:
			all = append(all, member(name, value.Message())...)
		default:
			all = append(all, fact{name, value.String()})
		}
	}
	return all
}

func member(name string, m protoreflect.Message) []fact {
	switch m := m.Interface().(type) {
	case *timestamppb.Timestamp:
		return []fact{{name, stamp(m)}}
	case *structpb.Struct:
		text, err := json.Marshal(m.AsMap()) // protojson doesn't write the same thing twice alike
		if err != nil {
			return []fact{{name, err.Error()}}
		}
		return []fact{{name, string(text)}}
	}
	return factsOf(name+".", m)
}

// printFacts prints what is known of something, a line for each.
func (s screen) printFacts(all []fact) {
	width := 0
	for _, f := range all {
		width = max(width, utf8.RuneCountInString(f.name))
	}
	colour := plain
	for _, f := range all {
		c := cell{shown(f.value), plain}
		if f.name == "outcome" {
			colour = outcomeColour(f.value)
		}
		if f.name == "outcome" || f.name == "reason" {
			c.colour = colour
		}
		fmt.Fprintf(s.out, "%-*s  %s\n", width, shown(f.name), s.paint(c))
	}
}

// jsonLine is a message as the API has it, as one line with its end. protojson adds blanks at random, so that nobody relies on them.
func jsonLine(m proto.Message) ([]byte, error) {
	text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(m)
	if err != nil {
		return nil, err
	}
	var line bytes.Buffer
	if err := json.Compact(&line, text); err != nil {
		return nil, err
	}
	line.WriteByte('\n')
	return line.Bytes(), nil
}

// writeJSON writes a message as the API has it, as one line.
func writeJSON(w io.Writer, m proto.Message) error {
	line, err := jsonLine(m)
	if err != nil {
		return found(err)
	}
	_, err = w.Write(line)
	return found(err)
}
