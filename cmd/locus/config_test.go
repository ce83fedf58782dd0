package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

func allSettings(t *testing.T) map[string]setting {
	t.Helper()
	var c cli
	k, err := commandLine(&c)
	if err != nil {
		t.Fatal(err)
	}
	return settings(k.Model)
}

// What is said in several places is taken from the first of: environment, file. Both may point to files of their own.
func TestConfigure(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	key := write("key", "00ff\n")
	config := write("locus.yaml", `
listen: 127.0.0.1:1
trusted-proxies: [192.0.2.0/24, loopback]
database-nodes:
  second: postgres://b/x
  third: postgres://c/x
connections: 5
tenant-roles: true
mail-from:
database-url-file: url # beside this file
`)
	write("url", "postgres://file/x")
	c, err := configure(allSettings(t), []string{"serve", "--config", config}, []string{
		"LOCUS_LISTEN=127.0.0.1:2", "LOCUS_MASTER_KEY_FILE=" + key, "LOCUS_TEST_ANYTHING_FILE=/nowhere", "HOME=/", "LOCUS_UNKNOWN=1",
	})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"LOCUS_LISTEN": "127.0.0.1:2", "LOCUS_MASTER_KEY": "00ff", "LOCUS_TRUSTED_PROXIES": "192.0.2.0/24,loopback",
		"LOCUS_DATABASE_NODES": "second=postgres://b/x\nthird=postgres://c/x", "LOCUS_CONNECTIONS": "5", "LOCUS_TENANT_ROLES": "true",
		"LOCUS_DATABASE_URL": "postgres://file/x",
	}
	for name, value := range want {
		if c.values[name] != value {
			t.Errorf("%s is %q, want %q (from %s)", name, c.values[name], value, c.from[name])
		}
	}
	if len(c.values) != len(want) {
		t.Errorf("%d values, want %d: %v", len(c.values), len(want), c.values)
	}
	if c.from["LOCUS_LISTEN"] != "environment" || c.from["LOCUS_CONNECTIONS"] != config {
		t.Errorf("they are said to be from %v", c.from)
	}
}

// An empty secret was not given: it stands before no file and no configuration. Other settings may be empty.
func TestEmptySecretsAreNotGiven(t *testing.T) {
	dir := t.TempDir()
	one, empty, config := filepath.Join(dir, "one"), filepath.Join(dir, "empty.yaml"), filepath.Join(dir, "locus.yaml")
	for path, text := range map[string]string{one: "of the file\n", empty: "", config: "smtp-url: smtp://mail.example.com\ntrusted-proxies: private\ndatabase-url: \"\"\ndatabase-url-file: one\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	all := allSettings(t)
	secrets := 0
	for name, s := range all {
		if _, itself := all[name+fileSuffix]; itself {
			continue
		}
		for _, beside := range []string{"", "=", name + fileSuffix + "=", name + fileSuffix + "=" + one} {
			environ := []string{name + "=", beside}
			c, err := configure(all, []string{"serve", "--config", empty}, environ)
			if err != nil {
				t.Errorf("%v: %v", environ, err)
			}
			value, there := c.values[name]
			switch fromFile := strings.HasSuffix(beside, one); {
			case fromFile && value != "of the file", fromFile && !slices.Contains(c.empty, name):
				t.Errorf("%v is %q", environ, value)
			case !fromFile && there == s.secret():
				t.Errorf("%v is given: %t", environ, there)
			}
		}
		if s.secret() {
			secrets++
		}
	}
	if secrets < 15 {
		t.Errorf("%d secrets", secrets)
	}
	c, err := configure(all, []string{"serve", "--config", config}, []string{"LOCUS_SMTP_URL=", "LOCUS_TRUSTED_PROXIES="})
	if err != nil || c.values["LOCUS_SMTP_URL"] != "smtp://mail.example.com" || c.values["LOCUS_DATABASE_URL"] != "of the file" || c.from["LOCUS_TRUSTED_PROXIES"] != "environment" {
		t.Errorf("%v %v %v", c.values, c.from, err)
	}
}

// A mistake names the line and what may have been meant; all mistakes of a file are told at once.
func TestConfigureRefuses(t *testing.T) {
	dir := t.TempDir()
	all := allSettings(t)
	for name, test := range map[string]struct {
		file string
		env  []string
		want []string
	}{
		"unknown":      {"lisen: x\n\nfrobnicate: 1\n", nil, []string{"line 1: no such setting: lisen (is listen meant?)", "line 3: no such setting: frobnicate ('locus config example'"}},
		"spelling":     {"LISTEN: x\n", nil, []string{"(is listen meant?)"}},
		"underscore":   {"log_level: debug\n", nil, []string{"(is log-level meant?)"}},
		"twice":        {"listen: a\nlisten: b\n", nil, []string{"listen"}},
		"both":         {"database-url: a\ndatabase-url-file: b\n", nil, []string{"both"}},
		"both outside": {"", []string{"LOCUS_MASTER_KEY=a", "LOCUS_MASTER_KEY_FILE=b"}, []string{"both LOCUS_MASTER_KEY and LOCUS_MASTER_KEY_FILE are given"}},
		"no file":      {"", []string{"LOCUS_MASTER_KEY_FILE=" + dir + "/none"}, []string{"LOCUS_MASTER_KEY_FILE: open"}},
		"not a map":    {"- a\n", nil, []string{"NAME: VALUE"}},
		"not YAML":     {"a: [\n", nil, []string{"yaml"}},
		"two texts":    {"listen: a\n---\nconnections: 5\n", nil, []string{"line 2: a configuration file is one document"}},
		"nested":       {"listen: [[a]]\n", nil, []string{"line 1: a list holds texts"}},
	} {
		path := filepath.Join(dir, "locus.yaml")
		if err := os.WriteFile(path, []byte(test.file), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := configure(all, []string{"--config=" + path}, test.env)
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		for _, want := range test.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v: wants %q", name, err, want)
			}
		}
	}
	if _, err := configure(all, []string{"--config", filepath.Join(dir, "none")}, nil); err == nil {
		t.Error("a named file that is not there is no error")
	}
}

// A setting has one name: the flag, the environment and the file differ in their letters only.
func TestSettingsHaveOneName(t *testing.T) {
	elsewhere := map[string]string{ // flag → setting: a flag of one command whose setting is more special
		"password": "admin-password", "owner-password": "admin-password", "secret-key": "s3-tenant-secret-key", "allow-private-host": "private-hosts",
	}
	for _, s := range allSettings(t) {
		if s.flag != nil && s.flag.Name != s.key() && s.flag.Name+"s" != s.key() && elsewhere[s.flag.Name] != s.key() {
			t.Errorf("--%s is %s in the environment: it should be %s", s.flag.Name, s.env, envPrefix+strings.ToUpper(strings.ReplaceAll(s.flag.Name, "-", "_")))
		}
	}
}

// The example is a file that can be read, also with every line in force.
func TestConfigExample(t *testing.T) {
	var c cli
	k, err := commandLine(&c)
	if err != nil {
		t.Fatal(err)
	}
	text := exampleConfig(k)
	var lines []string
	for line := range strings.Lines(text) {
		if len(line) > 1 && line[0] == '#' && line[1] != ' ' {
			lines = append(lines, line[1:])
		}
	}
	if len(lines) != len(settings(k.Model)) {
		t.Errorf("%d settings in the example, want %d", len(lines), len(settings(k.Model)))
	}
	for _, text := range []string{text, strings.Join(lines, "")} {
		var any map[string]any
		if err := yaml.Unmarshal([]byte(text), &any); err != nil {
			t.Errorf("%v\n%s", err, text)
		}
		if _, err := parseConfig(settings(k.Model), []byte(text)); err != nil {
			t.Error(err)
		}
	}
}

// What is secret is not shown.
func TestConfigShowsNoSecret(t *testing.T) {
	all := allSettings(t)
	for env, want := range map[string]map[string]string{
		"LOCUS_MASTER_KEY":     {"00ff": "(secret)", "1:00ff,2:00ee": "(secret)"},
		"LOCUS_DATABASE_URL":   {"postgres://a:hidden@h/d": "postgres://a:xxxxx@h/d", "host=h password=hidden": "(secret)", "postgres://h/d?password=hidden": "(secret)"},
		"LOCUS_DATABASE_NODES": {"a=postgres://a:hidden@h/d\nb=postgres://b/d": "a=postgres://a:xxxxx@h/d\nb=postgres://b/d"},
		"LOCUS_ACME_EAB_KEY":   {"hidden": "(secret)"},
		"LOCUS_ACME_DNS_KEY":   {"hidden": "(secret)"},
		"LOCUS_LISTEN":         {"127.0.0.1:1": "127.0.0.1:1"},
		"LOCUS_PLC_URL":        {"https://plc.directory": "https://plc.directory"},
	} {
		for value, show := range want {
			if got := shown(all[env], value); got != show {
				t.Errorf("%s=%s is shown as %s, want %s", env, value, got, show)
			}
		}
	}
}
