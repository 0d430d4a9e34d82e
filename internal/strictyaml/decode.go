package strictyaml

import (
	"errors"
	"math"
	"reflect"
	"strconv"
	"strings"
)

// Config says what a file may be.
type Config struct {
	File     string // the name that positions carry
	MaxBytes int    // [8 MiB]; the file's size
	MaxDepth int    // [32]; mappings and lists inside one another

	longList int // [256 KiB]; from this size on a list at the top is parsed in chunks
}

// Decode reads YAML into the struct (or Map) that the pointer leads to. It goes on after a fault; what is faulty stays unset. A file
// that is no YAML has one fault, and nothing of it is decoded. Decode panics only for Go types that it doesn't know: a mistake in the program.
func Decode(cfg Config, data []byte, into any) Faults {
	if cfg.MaxBytes == 0 {
		cfg.MaxBytes = 8 << 20
	}
	if cfg.MaxDepth == 0 {
		cfg.MaxDepth = 32
	}
	if cfg.longList == 0 {
		cfg.longList = defaultLongList
	}
	d := &decoder{file: cfg.File, structs: map[reflect.Type]*structInfo{}}
	root, fault := parse(cfg, data)
	if fault != nil {
		return Faults{*fault}
	}
	d.decodeInto(root, &path{index: -1}, into)
	return d.faults
}

type decoder struct {
	file    string
	faults  Faults
	structs map[reflect.Type]*structInfo
}

func (d *decoder) pos(n *node) Pos { return Pos{File: d.file, Line: n.line, Column: n.col} }

func (d *decoder) fault(n *node, p *path, message, mend string) {
	d.faults.Add(d.pos(n), p.String(), message, mend)
}

// wrong records that another type was wanted, and is false for its callers to return.
func (d *decoder) wrong(n *node, p *path, wanted string) bool {
	switch {
	case n.kind == Null:
		d.fault(n, p, "wanted "+wanted+", found nothing", "give it a value, or leave the key out")
	case n.kind == Scalar:
		d.fault(n, p, "wanted "+wanted+", found "+describe(n), "")
	default:
		d.fault(n, p, "wanted "+wanted+", found "+n.kind.String(), "")
	}
	return false
}

// describe names a scalar by its type alone where it is a text: somebody may have pasted a secret into the wrong place.
func describe(n *node) string {
	switch n.scalar {
	case integer, float, special:
		return "the number " + strconv.Quote(n.text)
	case boolean:
		return "the boolean " + n.text
	default:
		return "a text"
	}
}

func (d *decoder) decodeInto(n *node, p *path, into any) bool {
	return d.decode(n, p, reflect.ValueOf(into).Elem())
}

// decode says whether the value has the right shape. A mapping or list whose parts are faulty has it.
func (d *decoder) decode(n *node, p *path, v reflect.Value) bool {
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		return d.decode(n, p, v.Elem())
	}
	switch u := v.Addr().Interface().(type) {
	case Unmarshaler:
		return u.UnmarshalNode(Node{d, n, p})
	case ScalarUnmarshaler:
		return d.decodeScalar(n, p, u)
	}
	switch v.Kind() {
	case reflect.Struct:
		return d.decodeStruct(n, p, v)
	case reflect.Slice:
		return d.decodeSlice(n, p, v)
	case reflect.Interface:
		value, ok := d.decodeAny(n, p)
		if value != nil {
			v.Set(reflect.ValueOf(value))
		}
		return ok
	default:
		return d.decodeBasic(n, p, v)
	}
}

func (d *decoder) decodeScalar(n *node, p *path, u ScalarUnmarshaler) bool {
	if n.kind != Scalar {
		return d.wrong(n, p, "a single value")
	}
	err := u.UnmarshalScalar(n.text)
	var problem *Problem
	switch {
	case err == nil:
		return true
	case errors.As(err, &problem):
		d.fault(n, p, problem.Message, problem.Mend)
	default:
		d.fault(n, p, err.Error(), "")
	}
	return false
}

func (d *decoder) decodeSlice(n *node, p *path, v reflect.Value) bool {
	if n.kind != Sequence {
		return d.wrong(n, p, "a list")
	}
	list := reflect.MakeSlice(v.Type(), 0, n.count())
	d.eachItem(n, p, func(item *node, p *path) {
		element := reflect.New(v.Type().Elem()).Elem()
		if d.decode(item, p, element) {
			list = reflect.Append(list, element)
		}
	})
	v.Set(list)
	return true
}

// eachItem visits the items of a list; those of a long one are parsed now, and a fault of syntax costs only its own chunk.
func (d *decoder) eachItem(n *node, p *path, visit func(item *node, p *path)) {
	for i, item := range n.items {
		visit(item, &path{parent: p, index: i})
	}
	if n.long == nil {
		return
	}
	for _, c := range n.long.chunks {
		items, err := c.parse(n.long.maxDepth)
		if err != nil {
			d.faults = append(d.faults, syntaxFault(d.file, c.before, err))
		}
		for i, item := range items {
			visit(item, &path{parent: p, index: c.first + i})
		}
	}
}

func (d *decoder) decodeBasic(n *node, p *path, v reflect.Value) bool {
	switch v.Kind() {
	case reflect.String:
		if n.kind != Scalar || n.scalar != text {
			return d.wrongText(n, p)
		}
		v.SetString(n.text)
	case reflect.Bool:
		if n.kind != Scalar || n.scalar != boolean {
			return d.wrong(n, p, "true or false")
		}
		v.SetBool(strings.EqualFold(n.text, "true"))
	case reflect.Int, reflect.Int32, reflect.Int64:
		i, ok := decimal(n.text, v.Type().Bits())
		if n.kind != Scalar || n.scalar != integer || !ok {
			return d.wrong(n, p, "a whole decimal number")
		}
		v.SetInt(i)
	case reflect.Float64:
		f, err := strconv.ParseFloat(n.text, 64)
		if n.kind != Scalar || n.scalar != integer && n.scalar != float || err != nil {
			return d.wrong(n, p, "a number")
		}
		v.SetFloat(f)
	default:
		panic("strictyaml: no way to decode into " + v.Type().String())
	}
	return true
}

// wrongText suggests quotes where they would make a text of it.
func (d *decoder) wrongText(n *node, p *path) bool {
	if n.kind != Scalar {
		return d.wrong(n, p, "a text")
	}
	d.fault(n, p, "wanted a text, found "+describe(n), "put it in quotes")
	return false
}

// decodeAny makes nil, bool, int64, float64, string, []any and map[string]any of a node, as a JSON decoder would.
func (d *decoder) decodeAny(n *node, p *path) (any, bool) {
	switch n.kind {
	case Null:
		return nil, true
	case Sequence:
		list := make([]any, 0, len(n.items))
		d.eachItem(n, p, func(item *node, p *path) {
			v, _ := d.decodeAny(item, p)
			list = append(list, v)
		})
		return list, true
	case Mapping:
		m := make(map[string]any, len(n.items)/2)
		d.eachKey(n, p, func(key, value *node, p *path) { m[key.text], _ = d.decodeAny(value, p) })
		return m, true
	}
	return d.decodeAnyScalar(n, p)
}

func (d *decoder) decodeAnyScalar(n *node, p *path) (any, bool) {
	switch n.scalar {
	case boolean:
		return strings.EqualFold(n.text, "true"), true
	case integer:
		if i, ok := decimal(n.text, 64); ok {
			return i, true
		}
		return nil, d.wrong(n, p, "a whole decimal number of at most 64 bits")
	case float:
		if f, err := strconv.ParseFloat(n.text, 64); err == nil && !math.IsInf(f, 0) {
			return f, true
		}
		return nil, d.wrong(n, p, "a decimal number")
	case special:
		return nil, d.wrong(n, p, "a finite number")
	}
	return n.text, true
}

// decimal refuses a leading zero: 010 is eight to one reader of YAML and ten to another.
func decimal(text string, bits int) (int64, bool) {
	digits := strings.TrimPrefix(text, "-")
	i, err := strconv.ParseInt(text, 10, bits)
	return i, err == nil && (digits == "0" || digits[0] >= '1' && digits[0] <= '9')
}
