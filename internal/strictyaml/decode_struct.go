package strictyaml

import (
	"reflect"
	"strconv"
	"strings"
)

var (
	posType  = reflect.TypeFor[Pos]()
	keysType = reflect.TypeFor[Keys]()
)

// structInfo is what the tags of a struct say.
type structInfo struct {
	pos    int // index of the field Pos, or -1
	given  int // index of the field Keys, or -1
	keys   []string
	fields map[string]field
}

type field struct {
	index    int
	required bool
}

func (d *decoder) structInfo(t reflect.Type) *structInfo {
	if info := d.structs[t]; info != nil {
		return info
	}
	info := &structInfo{pos: -1, given: -1, fields: map[string]field{}}
	for i := range t.NumField() {
		f := t.Field(i)
		tag := f.Tag.Get("yaml")
		if tag == "" {
			switch {
			case f.Type == posType && f.Name == "Pos":
				info.pos = i
			case f.Type == keysType && f.Name == "Keys":
				info.given = i
			}
			continue
		}
		key, option, _ := strings.Cut(tag, ",")
		info.keys = append(info.keys, key)
		info.fields[key] = field{index: i, required: option == "required"}
	}
	d.structs[t] = info
	return info
}

func (d *decoder) decodeStruct(n *node, p *path, v reflect.Value) bool {
	if n.kind != Mapping {
		return d.wrong(n, p, "a mapping")
	}
	info := d.structInfo(v.Type())
	if info.pos >= 0 {
		v.Field(info.pos).Set(reflect.ValueOf(d.pos(n)))
	}
	seen := make([]bool, v.NumField())
	var given Keys
	if info.given >= 0 {
		given = Keys{}
		v.Field(info.given).Set(reflect.ValueOf(given))
	}
	d.eachKey(n, p, func(key, value *node, kp *path) {
		f, known := info.fields[key.text]
		if !known {
			d.fault(key, p, "unknown key "+strconv.Quote(key.text), DidYouMean(key.text, info.keys, ""))
			return
		}
		seen[f.index] = true
		if given != nil {
			given[key.text] = d.pos(key)
		}
		d.decode(value, kp, v.Field(f.index))
	})
	for _, key := range info.keys {
		if f := info.fields[key]; f.required && !seen[f.index] {
			d.fault(n, p, "missing key "+strconv.Quote(key), "add it")
		}
	}
	return true
}

// eachKey visits the keys of a mapping; a repeated key is a fault, and only its first value is visited.
func (d *decoder) eachKey(n *node, p *path, visit func(key, value *node, p *path)) {
	first := make(map[string]*node, len(n.items)/2)
	for i := 0; i+1 < len(n.items); i += 2 {
		key, value := n.items[i], n.items[i+1]
		if before := first[key.text]; before != nil {
			d.fault(key, p, "repeated key "+strconv.Quote(key.text), "it stands on line "+strconv.Itoa(before.line)+" already: keep one")
			continue
		}
		first[key.text] = key
		visit(key, value, &path{parent: p, key: key.text, index: -1})
	}
}
