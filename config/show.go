package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lakegate/sts/internal/strictyaml"
)

// Show is the effective configuration, as a file that Load reads to the same effect. Of secrets it has the source.
func (c *Config) Show() []byte {
	var b bytes.Buffer
	write(&b, entriesOf(reflect.ValueOf(*c)), "")
	return b.Bytes()
}

// reloaded are the keys at the top that a running service takes over from a changed file; fixed are those below them that
// it doesn't: our discovery document and the plan of the signing keys are made of them at the start.
var (
	reloaded = []string{"identity_providers", "clients", "databricks"}
	fixed    = []string{"databricks.federation.issuer", "databricks.federation.publish_ahead", "databricks.federation.key_rotation"}
)

// KeepFixed takes back what next has of the fixed keys, for a service that goes on with c.
func (c *Config) KeepFixed(next *Config) {
	is, to := &c.Databricks.Federation, &next.Databricks.Federation
	to.Issuer, to.PublishAhead, to.KeyRotation = is.Issuer, is.PublishAhead, is.KeyRotation
}

// RestartNeeded names the keys that differ in next and need a restart: "listen.http", "audit.sync".
func (c *Config) RestartNeeded(next *Config) []string {
	before, after := map[string]string{}, map[string]string{}
	flatten(before, entriesOf(reflect.ValueOf(*c)), "")
	flatten(after, entriesOf(reflect.ValueOf(*next)), "")
	for key, text := range after {
		if before[key] == text {
			delete(before, key)
		} else {
			before[key] = text
		}
	}
	maps.DeleteFunc(before, func(key, _ string) bool {
		top, _, _ := strings.Cut(key, ".")
		return slices.Contains(reloaded, top) && !slices.Contains(fixed, key)
	})
	return slices.Sorted(maps.Keys(before))
}

// entry is a key with its value in YAML, with entries of its own, or with a list of such.
type entry struct {
	key      string
	text     string
	children []entry
	items    [][]entry
}

// entriesOf are the tagged fields of a struct. Those with omitempty are left out when they are zero.
func entriesOf(v reflect.Value) []entry {
	var entries []entry
	for i := range v.NumField() {
		key, option, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ",")
		if key == "" || option == "omitempty" && v.Field(i).IsZero() {
			continue
		}
		entries = append(entries, entryOf(key, v.Field(i)))
	}
	return entries
}

func entryOf(key string, v reflect.Value) entry {
	switch value := v.Interface().(type) {
	case Secret:
		if value.Env != "" {
			return entry{key: key + "_env", text: quote(value.Env)}
		}
		return entry{key: key + "_file", text: quote(value.File)}
	case Provider:
		entries := entriesOf(v)
		if own := value.ownKeys(); own != nil {
			entries = slices.DeleteFunc(entries, func(e entry) bool { return !slices.Contains(own, e.key) })
		}
		return entry{key: key, children: entries}
	case Parties:
		if value.Any {
			return entry{key: key, text: "any"}
		}
		return entry{key: key, text: scalar(reflect.ValueOf(value.List))}
	}
	switch v.Kind() {
	case reflect.Pointer:
		return entry{key: key, children: entriesOf(v.Elem())}
	case reflect.Struct:
		if _, isText := v.Interface().(fmt.Stringer); !isText {
			return entry{key: key, children: entriesOf(v)}
		}
	case reflect.Map:
		return mapEntry(key, v)
	case reflect.Slice:
		if v.Type().Elem() == reflect.TypeFor[Export]() {
			e := entry{key: key}
			for i := range v.Len() {
				e.items = append(e.items, entriesOf(v.Index(i)))
			}
			return e
		}
	}
	return entry{key: key, text: scalar(v)}
}

func mapEntry(key string, v reflect.Value) entry {
	if v.Len() == 0 {
		return entry{key: key, text: "{}"}
	}
	names := v.MapKeys()
	slices.SortFunc(names, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
	e := entry{key: key}
	for _, name := range names {
		e.children = append(e.children, entryOf(quote(name.String()), v.MapIndex(name)))
	}
	return e
}

// scalar writes a single value, or a list of them.
func scalar(v reflect.Value) string {
	switch value := v.Interface().(type) {
	case time.Duration:
		return strictyaml.Duration(value).String()
	case slog.Level:
		return strings.ToLower(value.String())
	case fmt.Stringer:
		return quote(value.String())
	case float64:
		return strconv.FormatFloat(value, 'f', -1, 64)
	case string:
		return quote(value)
	}
	if v.Kind() == reflect.Slice {
		items := make([]string, v.Len())
		for i := range items {
			items[i] = scalar(v.Index(i))
		}
		return "[" + strings.Join(items, ", ") + "]"
	}
	return fmt.Sprint(v.Interface()) // a bool or an int
}

// plain is what can stand without quotes, in a list too, and is nothing but a text to any reader of YAML.
var plain = regexp.MustCompile(`^([A-Za-z_/]([A-Za-z0-9_./:-]*[A-Za-z0-9_/])?|[0-9]+/[smh])$`)

// quote writes a text. JSON's quotes are YAML's; what YAML can't hold unescaped beside them is escaped here.
func quote(s string) string {
	switch strings.ToLower(s) {
	case "true", "false", "null", "yes", "no", "on", "off", "y", "n":
	default:
		if plain.MatchString(s) {
			return s
		}
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a string always encodes
	return strings.NewReplacer("\x7f", `\u007f`, "\ufeff", `\ufeff`, "\n", "").Replace(b.String())
}

func write(b *bytes.Buffer, entries []entry, indent string) {
	for _, e := range entries {
		if len(e.children) == 0 && len(e.items) == 0 {
			fmt.Fprintf(b, "%s%s: %s\n", indent, e.key, e.text)
			continue
		}
		fmt.Fprintf(b, "%s%s:\n", indent, e.key)
		write(b, e.children, indent+"  ")
		for _, item := range e.items {
			var lines bytes.Buffer
			write(&lines, item, indent+"    ")
			fmt.Fprintf(b, "%s  - %s", indent, strings.TrimPrefix(lines.String(), indent+"    "))
		}
	}
}

func flatten(into map[string]string, entries []entry, prefix string) {
	for _, e := range entries {
		if len(e.children) == 0 {
			var b bytes.Buffer
			write(&b, []entry{e}, "")
			into[prefix+e.key] = b.String()
			continue
		}
		flatten(into, e.children, prefix+e.key+".")
	}
}
