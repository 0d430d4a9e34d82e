package config

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/lakegate/sts/internal/strictyaml"
)

// Export is one place that the records of the audit log are brought to. Exactly one of OTLP, File, Command, URL and Volume
// is set.
type Export struct {
	Name string `yaml:"name"` // under which its cursor is kept

	OTLP    string   `yaml:"otlp,omitempty"` // URL of an OTLP collector (gRPC)
	File    string   `yaml:"file,omitempty"` // absolute
	Command []string `yaml:"command,omitempty"`
	URL     string   `yaml:"url,omitempty"`
	// Authorization is the value of that header of requests to URL; none for none.
	Authorization Secret `yaml:"authorization,omitempty"`
	// Volume is a folder of a Databricks volume, "/Volumes/catalog/schema/volume[/folder…]".
	Volume    string `yaml:"volume,omitempty"`
	Workspace string `yaml:"workspace,omitempty"` // of the policy, where the volume is
	Principal string `yaml:"principal,omitempty"` // of the policy, who writes there

	Format string `yaml:"format,omitempty"` // json, ocsf; "" for otlp and volume, which have their own
}

type exportFile struct {
	Pos               strictyaml.Pos
	Keys              strictyaml.Keys
	Name              text                           `yaml:"name,required"`
	OTLP              strictyaml.Value[endpointURL]  `yaml:"otlp"`
	File              text                           `yaml:"file"`
	Command           strictyaml.Value[[]text]       `yaml:"command"`
	URL               strictyaml.Value[endpointURL]  `yaml:"url"`
	AuthorizationFile text                           `yaml:"authorization_file"`
	Volume            strictyaml.Value[volumePath]   `yaml:"volume"`
	Workspace         text                           `yaml:"workspace"`
	Principal         text                           `yaml:"principal"`
	Format            strictyaml.Value[exportFormat] `yaml:"format"`
}

// destinations are the keys that say where an export goes.
var destinations = []string{"otlp", "file", "command", "url", "volume"}

// exportKeys are keys that go with some destinations only.
var exportKeys = []struct {
	key  string
	with []string
}{
	{"authorization_file", []string{"url"}},
	{"workspace", []string{"volume"}},
	{"principal", []string{"volume"}},
	{"format", []string{"file", "command", "url"}},
}

// exports are those of the audit log; credentials are how principals are minted.
func (c *checker) exports(v strictyaml.Value[[]exportFile], credentials strictyaml.Map[credentialFile]) []Export {
	names, places := map[string]bool{}, map[string]string{}
	var exports []Export
	for i := range v.V {
		f, path := &v.V[i], "audit.exports["+strconv.Itoa(i)+"]"
		c.exportName(f, path, names)
		to := c.destination(f, path)
		e := Export{Name: f.Name.V, OTLP: string(f.OTLP.V), URL: string(f.URL.V), Volume: string(f.Volume.V), Workspace: f.Workspace.V, Principal: f.Principal.V}
		switch to {
		case "file":
			e.File = c.path(f.File, path+".file", "")
			c.exportPlace(f.File.Pos, path, "file", e.File, places)
		case "command":
			e.Command = c.command(f.Command, path+".command")
		case "volume":
			c.volume(f, path, credentials)
			c.exportPlace(f.Volume.Pos, path, "volume", e.Volume, places)
		}
		if f.AuthorizationFile.Set() {
			e.Authorization = c.secretFile(f.AuthorizationFile, path+".authorization_file")
		}
		if to == "file" || to == "command" || to == "url" {
			e.Format = string(f.Format.Or(defaultExportFormat))
		}
		exports = append(exports, e)
	}
	return exports
}

func (c *checker) exportName(f *exportFile, path string, seen map[string]bool) {
	if !f.Name.Set() {
		return
	}
	c.check(f.Name.Pos, path+".name", strictyaml.CheckName(f.Name.V))
	if seen[f.Name.V] {
		c.fault(f.Name.Pos, path+".name", "the name of another export, too", "give each its own: its cursor is kept under it")
	}
	seen[f.Name.V] = true
}

// exportPlace faults a place that another export has, too.
func (c *checker) exportPlace(pos strictyaml.Pos, path, key, place string, places map[string]string) {
	if other, taken := places[place]; taken && place != "" {
		c.fault(pos, path+"."+key, "the same as that of "+other, "give each its own: what one has written the other would cut off, or write again")
	}
	places[place] = path
}

// destination is the one key that says where an export goes, "" where that is not clear.
func (c *checker) destination(f *exportFile, path string) string {
	var given []string
	for _, key := range destinations {
		if f.Keys.Has(key) {
			given = append(given, key)
		}
	}
	if len(given) != 1 {
		message := "no destination"
		if len(given) > 1 {
			message = "more than one destination: " + strings.Join(given, ", ")
		}
		c.fault(f.Pos, path, message, "name one of "+strings.Join(destinations, ", "))
		return ""
	}
	for _, k := range exportKeys {
		if f.Keys.Has(k.key) && !slices.Contains(k.with, given[0]) {
			c.fault(f.Keys[k.key], path, strconv.Quote(k.key)+" goes with "+strings.Join(k.with, ", ")+", and this export's destination is "+given[0], "leave it out")
		}
	}
	return given[0]
}

func (c *checker) command(v strictyaml.Value[[]text], path string) []string {
	var words []string
	for i, word := range v.V {
		if i == 0 {
			c.filled(word, path)
		}
		words = append(words, word.V)
	}
	if v.Set() && len(words) == 0 {
		c.fault(v.Pos, path, "an empty list", "name a program, and its arguments")
	}
	return words
}

func (c *checker) volume(f *exportFile, path string, credentials strictyaml.Map[credentialFile]) {
	for _, key := range []struct {
		name string
		text text
	}{{"workspace", f.Workspace}, {"principal", f.Principal}} {
		switch {
		case !f.Keys.Has(key.name):
			c.missing(f.Pos, path, key.name, "add it: the policy's name of the "+key.name+" that the volume is written with")
		case key.text.Set():
			c.check(key.text.Pos, path+"."+key.name, strictyaml.CheckName(key.text.V))
		}
	}
	if by, ok := credentials.Get(f.Principal.V); ok && by.Method.V == "client_secret" {
		c.fault(f.Principal.Pos, path+".principal", "a principal that is minted by client_secret", "name one that is minted by federation")
	}
}

const defaultExportFormat = "json"

// exportFormat is how records are written.
type exportFormat string

func (f *exportFormat) UnmarshalScalar(text string) error {
	*f = exportFormat(text)
	return strictyaml.OneOf(text, "json", "ocsf")
}

// volumePath is a folder of a Unity Catalog volume.
type volumePath string

// Parts of such a path stand in a URL as they are; names that Unity Catalog would take beyond these are rare.
var volumeForm = regexp.MustCompile(`^/Volumes(/[A-Za-z0-9_][A-Za-z0-9_.-]*){3,}$`)

func (v *volumePath) UnmarshalScalar(text string) error {
	*v = volumePath(text)
	if !volumeForm.MatchString(text) {
		return strictyaml.Problemf("write it like /Volumes/catalog/schema/volume/folder, in letters, digits, dots, dashes and underscores", "not a folder of a volume")
	}
	return nil
}
