package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
	"gopkg.in/yaml.v3"
)

// defaultConfig is read when it is there and neither --config nor LOCUS_CONFIG names another.
const defaultConfig = "/etc/locus/locus.yaml"

const (
	envPrefix  = "LOCUS_"
	fileSuffix = "_FILE"
)

// environmentOnly are settings without a flag: command lines are seen by others, or the setting is another program's.
var environmentOnly = map[string]string{
	tracesHeaders:                "Headers for the collector of traces: NAME=VALUE, separated by commas.",
	"LOCUS_S3_ACCESS_KEY":        "Access key of the deployment's bucket.",
	"LOCUS_S3_SECRET_KEY":        "Secret key of the deployment's bucket.",
	"LOCUS_BACKUP_S3_ACCESS_KEY": "Access key of the bucket of --backup-store, where that of files is another one.",
	"LOCUS_BACKUP_S3_SECRET_KEY": "Secret key of the bucket of --backup-store.",
	"LOCUS_OPERATOR":             "Who stands in the audit log for what commands do; without it the user of the system.",
	"LOCUS_PG_BIN":               "Folder of Postgres's programs, for the private Postgres.",
}

// setting is what can be said once for all commands.
type setting struct {
	env  string
	help string
	flag *kong.Flag // nil: environment and file only
}

// key is the setting's name in a configuration file.
func (s setting) key() string {
	return strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(s.env, envPrefix)), "_", "-")
}

// envOf is the name in the environment of a setting that a file or a flag names.
func envOf(key string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(key, "-", "_"))
}

// secret tells that the value is not to be shown as it is.
func (s setting) secret() bool {
	for _, word := range []string{"PASSWORD", "SECRET", "TOKEN", "_KEY", "_URL", "_NODES", "_REPLICAS", "_HMAC", "HEADERS"} {
		if strings.Contains(s.env, word) {
			return true
		}
	}
	return false
}

// settings finds them all in the command line's declarations, by their names in the environment.
func settings(app *kong.Application) map[string]setting {
	all := map[string]setting{}
	for env, help := range environmentOnly {
		all[env] = setting{env: env, help: help}
	}
	_ = kong.Visit(app, func(node kong.Visitable, next kong.Next) error {
		if f, ok := node.(*kong.Flag); ok {
			for _, env := range f.Envs {
				if _, there := all[env]; !there && strings.HasPrefix(env, envPrefix) && env != "LOCUS_CONFIG" {
					all[env] = setting{env: env, help: f.Help, flag: f}
				}
			}
		}
		return next(nil)
	})
	return all
}

// configured are settings' values with where each is from.
type configured struct {
	path   string // of the file that was read, "" for none
	values map[string]string
	from   map[string]string
	empty  []string          // in the environment, but not given: they must not stand before defaults either
	files  map[string]string // of values that have a file of their own
	others []string          // names in the environment that begin as ours do, and are no settings
	wrong  error             // what kept it from being read
}

// configure reads the environment and the configuration file. What the environment says goes before what the file says.
// NAME_FILE, in the file name-file, has the value in a file of its own, as container platforms and systemd give secrets.
func configure(all map[string]setting, args, environ []string) (*configured, error) {
	said := map[string]string{}
	path := ""
	for _, line := range environ {
		name, value, _ := strings.Cut(line, "=")
		if name == "LOCUS_CONFIG" {
			path = value
		} else if strings.HasPrefix(name, envPrefix) {
			said[name] = value
		}
	}
	path, named := configPath(args, path)
	c := &configured{values: map[string]string{}, from: map[string]string{}, files: map[string]string{}}
	for _, name := range slices.Sorted(maps.Keys(said)) {
		if _, _, ok := settingOf(all, name); !ok {
			c.others = append(c.others, name)
		}
	}
	if err := c.layer(all, said, "environment", ""); err != nil {
		return c, err
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) && !named {
		return c, nil
	}
	if err != nil {
		return c, fmt.Errorf("configuration: %w", err)
	}
	c.path = path
	if said, err = parseConfig(all, text); err == nil {
		err = c.layer(all, said, path, filepath.Dir(path))
	}
	if err != nil {
		return c, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

// configPath is the file that the arguments or the environment name, or the default.
func configPath(args []string, env string) (path string, named bool) {
	for i, arg := range args {
		if arg == "--" {
			break
		}
		if value, ok := strings.CutPrefix(arg, "--config="); ok {
			return value, true
		}
		if arg == "--config" && i+1 < len(args) {
			return args[i+1], true
		}
	}
	if env != "" {
		return env, true
	}
	return defaultConfig, false
}

// settingOf is the setting that a name in the environment means: itself, or with inFile the one whose value is in a file.
// Other programs' names are none.
func settingOf(all map[string]setting, name string) (env string, inFile, ok bool) {
	if _, ok := all[name]; ok {
		return name, false, true
	}
	env, inFile = strings.CutSuffix(name, fileSuffix)
	_, ok = all[env]
	return env, inFile, inFile && ok
}

// layer adds what no layer before has said.
func (c *configured) layer(all map[string]setting, said map[string]string, from, dir string) error {
	for _, name := range slices.Sorted(maps.Keys(said)) {
		env, inFile, ok := settingOf(all, name)
		if !ok {
			continue
		}
		value, where, path := said[name], from, ""
		if inFile {
			if said[env] != "" && value != "" {
				return fmt.Errorf("both %s and %s are given", env, name)
			}
			if value == "" {
				continue
			}
			path = value
			if dir != "" && !filepath.IsAbs(path) {
				path = filepath.Join(dir, path)
			}
			var err error
			if value, err = valueIn(path); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			where += ", file " + path
		}
		// Container platforms set a variable that they have no value for to nothing. An empty secret would hide the file, the
		// credential or the configuration that gives it. Other settings may be empty: no trusted proxies, for example.
		if !inFile && value == "" && (all[env].secret() || said[env+fileSuffix] != "") {
			c.empty = append(c.empty, env)
			continue
		}
		if _, there := c.values[env]; !there {
			c.values[env], c.from[env] = value, where
			if path != "" {
				c.files[env] = path
			}
		}
	}
	return nil
}

// valueIn reads a file that holds one value.
func valueIn(path string) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	value := strings.TrimRight(string(text), "\r\n")
	if value == "" {
		return "", errors.New("the file is empty")
	}
	return value, nil
}

// apply puts what was read where flags and the rest look for it.
func (c *configured) apply() error {
	for _, name := range c.empty {
		if err := os.Unsetenv(name); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	for name, value := range c.values {
		if err := os.Setenv(name, value); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// parseConfig reads a YAML file of settings: one level of names, with texts, numbers, lists (which are joined by commas),
// or names with values (one NAME=VALUE a line). It gives them by their names in the environment.
func parseConfig(all map[string]setting, text []byte) (map[string]string, error) {
	var doc, more yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(text))
	if err := dec.Decode(&doc); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	said := map[string]string{}
	switch err := dec.Decode(&more); { // what stands in it would be left out without a word
	case err == nil:
		return nil, fmt.Errorf("line %d: a configuration file is one document: take the --- away", max(more.Line, 1))
	case !errors.Is(err, io.EOF):
		return nil, err
	}
	if len(doc.Content) == 0 {
		return said, nil
	}
	top := doc.Content[0]
	if top.Kind == yaml.ScalarNode && top.Tag == "!!null" {
		return said, nil
	}
	if top.Kind != yaml.MappingNode {
		return nil, errors.New("a configuration file has lines of the form NAME: VALUE")
	}
	var wrong []error
	for i := 0; i+1 < len(top.Content); i += 2 {
		key, node := top.Content[i], top.Content[i+1]
		name := envOf(key.Value)
		value, err := plain(node)
		_, _, known := settingOf(all, name)
		_, twice := said[name]
		switch {
		case !known || strings.ToLower(key.Value) != key.Value || strings.Contains(key.Value, "_"):
			err = fmt.Errorf("no such setting: %s%s", key.Value, meant(all, key.Value))
		case twice:
			err = fmt.Errorf("%s is given twice", key.Value)
		}
		if err != nil {
			wrong = append(wrong, fmt.Errorf("line %d: %w", key.Line, err))
		} else if value != nil {
			said[name] = *value
		}
	}
	return said, errors.Join(wrong...)
}

// plain is a value as the environment has it; nil for none.
func plain(node *yaml.Node) (*string, error) {
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	var parts []string
	between := ","
	switch {
	case node.Kind == yaml.ScalarNode && node.Tag == "!!null":
		return nil, nil
	case node.Kind == yaml.ScalarNode:
		return &node.Value, nil
	case node.Kind == yaml.SequenceNode:
		for _, n := range node.Content {
			if n.Kind != yaml.ScalarNode {
				return nil, errors.New("a list holds texts and numbers only")
			}
			parts = append(parts, n.Value)
		}
	case node.Kind == yaml.MappingNode:
		between = "\n"
		for i := 0; i+1 < len(node.Content); i += 2 {
			if node.Content[i+1].Kind != yaml.ScalarNode {
				return nil, errors.New("names stand with texts and numbers only")
			}
			parts = append(parts, node.Content[i].Value+"="+node.Content[i+1].Value)
		}
	}
	joined := strings.Join(parts, between)
	return &joined, nil
}

// meant is a hint at the setting whose name is nearest.
func meant(all map[string]setting, key string) string {
	near := nearest(all, strings.ReplaceAll(strings.ToLower(key), "_", "-"))
	if near == "" {
		return " ('locus config example' lists all)"
	}
	return fmt.Sprintf(" (is %s meant?)", near)
}

// nearest is the setting whose name in a file is most like key; "" where none is.
func nearest(all map[string]setting, key string) (name string) {
	best := 4
	for _, env := range slices.Sorted(maps.Keys(all)) {
		if d := distance(key, all[env].key()); d < best {
			best, name = d, all[env].key()
		}
	}
	return name
}

// distance is how many letters must be changed, added or left out to make a of b (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := before
			if a[i] != b[j] {
				change++
			}
			before = row[j+1]
			row[j+1] = min(change, row[j]+1, before+1)
		}
	}
	return row[len(b)]
}
