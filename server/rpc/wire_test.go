package rpc_test

import (
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/structpb"

	stsv1 "github.com/lakegate/sts/api/sts/v1"
	"github.com/lakegate/sts/server/rpc"
)

// What is accepted and can be read has nothing in it that isn't in the message, at any depth; written again, it is
// accepted again and reads the same.
func FuzzCheckWire(f *testing.F) {
	detail, err := structpb.NewStruct(map[string]any{"type": "x", "actions": []any{"a", 1, nil, true}})
	if err != nil {
		f.Fatal(err)
	}
	seconds := int32(-1)
	whole, err := proto.Marshal(&stsv1.ExchangeRequest{
		SubjectToken: "s", Audience: []string{"a", "b"}, RequestedLifetimeSeconds: &seconds,
		AuthorizationDetails: &structpb.ListValue{Values: []*structpb.Value{structpb.NewStructValue(detail)}},
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(append(whole[:len(whole):len(whole)], whole...))
	f.Add(protowire.AppendVarint(protowire.AppendTag(nil, 99, protowire.VarintType), 1))
	f.Fuzz(func(t *testing.T, message []byte) {
		var m, again stsv1.ExchangeRequest
		if err := rpc.CheckWire(message, &m); err != nil {
			return
		}
		if err := proto.Unmarshal(message, &m); err != nil {
			t.Skip() // a text that is not UTF-8
		}
		if unknown(m.ProtoReflect()) {
			t.Fatal("accepted with an unknown field")
		}
		written, err := proto.Marshal(&m)
		if err != nil {
			t.Fatal(err)
		}
		if err := rpc.CheckWire(written, &again); err != nil {
			t.Fatal(err)
		}
		if err := proto.Unmarshal(written, &again); err != nil || !proto.Equal(&m, &again) {
			t.Fatalf("%v: %v became %v", err, &m, &again)
		}
	})
}

func unknown(m protoreflect.Message) (found bool) {
	if len(m.GetUnknown()) > 0 {
		return true
	}
	m.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		switch {
		case field.IsMap():
			value.Map().Range(func(_ protoreflect.MapKey, v protoreflect.Value) bool {
				found = field.MapValue().Message() != nil && unknown(v.Message())
				return !found
			})
		case field.Message() == nil:
		case field.IsList():
			for i := 0; i < value.List().Len() && !found; i++ {
				found = unknown(value.List().Get(i).Message())
			}
		default:
			found = unknown(value.Message())
		}
		return !found
	})
	return found
}

// A member of an object comes once, in whatever way its name is encoded: a text's length may be written with more bytes
// than it needs, and an empty name left out.
func TestCheckWireNames(t *testing.T) {
	object := func(names ...string) (message []byte) {
		for _, name := range names {
			entry := protowire.AppendBytes(protowire.AppendTag(nil, 2, protowire.BytesType), []byte{0x20, 1}) // true
			message = protowire.AppendBytes(protowire.AppendTag(message, 1, protowire.BytesType), append([]byte(name), entry...))
		}
		return message
	}
	const a, longer, b, empty, none = "\x0a\x01a", "\x0a\x81\x00a", "\x0a\x01b", "\x0a\x00", ""
	for _, row := range []struct {
		names []string
		want  bool
	}{
		{[]string{a, b, empty}, true},
		{[]string{a, b, none}, true},
		{[]string{a, a}, false},
		{[]string{a, longer}, false},
		{[]string{empty, none}, false},
	} {
		message, read := object(row.names...), &structpb.Struct{}
		if err := proto.Unmarshal(message, read); err != nil {
			t.Fatal(err)
		}
		if err := rpc.CheckWire(message, read); (err == nil) != row.want || (len(read.GetFields()) == len(row.names)) != row.want {
			t.Errorf("%q: %v, read as %v", row.names, err, read)
		}
	}
}
