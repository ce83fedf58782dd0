package main

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// What is given to operators names settings that there are, and what ought to be YAML is.
func TestDeployFiles(t *testing.T) {
	all := allSettings(t)
	others := map[string]bool{ // of other programs in the same files
		"LOCUS_ADMIN": true, "LOCUS_SITES": true, "LOCUS_BACKENDS": true, "LOCUS_CONFIG": true, "LOCUS_HOSTNAME": true,
		"LOCUS_ARCH": true, "LOCUS_VERSION": true, "LOCUS_FILES": true, "LOCUS_PACKED": true,
	}
	name := regexp.MustCompile(`LOCUS_[A-Z0-9_]+`)
	err := filepath.WalkDir("../../deploy", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.Contains(path, "/tools/") {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, found := range name.FindAllString(string(text), -1) {
			_, known := all[found]
			_, inFile := all[strings.TrimSuffix(found, fileSuffix)]
			if !known && !inFile && !others[found] && !strings.HasPrefix(found, "LOCUS_TEST_") {
				t.Errorf("%s: there is no setting %s", path, found)
			}
		}
		if (strings.HasSuffix(path, ".yaml") || strings.HasSuffix(path, ".yml")) && !strings.Contains(path, "/templates/") {
			var any any
			if err := yaml.Unmarshal(text, &any); err != nil {
				t.Errorf("%s: %v", path, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"../../deploy/deb/locus.yaml"} {
		text, err := os.ReadFile(path)
		if err == nil {
			_, err = parseConfig(all, text)
		}
		if err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// TestDeployImage: the image's build is given every folder that the program is made of.
func TestDeployImage(t *testing.T) {
	text, err := os.ReadFile("../../deploy/docker/Dockerfile.dockerignore")
	if err != nil {
		t.Fatal(err)
	}
	given := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		given[strings.TrimPrefix(strings.TrimSpace(line), "!")] = true
	}
	const module = "github.com/auroralocus/locus/"
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, name := range strings.Fields(string(out)) {
		if folder, ok := strings.CutPrefix(name, module); ok {
			seen++
			if folder, _, _ = strings.Cut(folder, "/"); !given[folder] {
				t.Errorf("%s is needed, and %s is not given to the build of the image", name, folder)
			}
		}
	}
	if seen < 50 {
		t.Errorf("only %d packages", seen)
	}
}

// Lines that an operator is told to take out of a comment are settings, too.
func TestPackagedConfig(t *testing.T) {
	text, err := os.ReadFile("../../deploy/deb/locus.yaml")
	if err != nil {
		t.Fatal(err)
	}
	open := regexp.MustCompile(`(?m)^#([a-z-]+:)`).ReplaceAll(text, []byte("$1"))
	said, err := parseConfig(allSettings(t), open)
	if err != nil || len(said) < 3 {
		t.Errorf("%v: %v", said, err)
	}
}

// The units are what systemd can read. They are held against systemd itself where that is installed: nothing else reads units.
func TestUnit(t *testing.T) {
	dir := t.TempDir()
	var units []string
	for _, name := range []string{"locus.service", "locus-backup.service", "locus-backup.timer"} {
		text, err := os.ReadFile("../../deploy/systemd/" + name)
		if err != nil {
			t.Fatal(err)
		}
		unit := filepath.Join(dir, name)
		if err := os.WriteFile(unit, []byte(strings.ReplaceAll(string(text), "/usr/bin/locus", "/bin/true")), 0o644); err != nil {
			t.Fatal(err)
		}
		units = append(units, unit)
	}
	systemd, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Log("systemd is not installed here: the unit is not held against it")
		return
	}
	if out, err := exec.Command(systemd, append([]string{"verify", "--man=no"}, units...)...).CombinedOutput(); err != nil || strings.Contains(string(out), "locus") {
		t.Errorf("%v\n%s", err, out)
	}
}
