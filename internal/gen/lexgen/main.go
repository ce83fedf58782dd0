// Command lexgen makes what is generated from the lexicons: the catalogue (one lexicon document a line)
// from the schemas of a published npm package and our own documents, and the Go types of the XRPC methods and of the views that read-after-write changes from the catalogue.
// internal/gen/lexicons.sh calls it.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"strings"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "lexgen:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("usage: lexgen catalogue|own|types|views|verify [flags]")
	}
	fs := flag.NewFlagSet("lexgen "+args[0], flag.ContinueOnError)
	catalogue := fs.String("catalogue", "internal/lexicon/catalogue.jsonl", "the catalogue file")
	check := fs.Bool("check", false, "write nothing, fail when the file would change")
	source := fs.String("source", "", "catalogue: the package's dist/client/lexicons.js")
	own := fs.String("own", "internal/lexicon/own", "catalogue, own: the folder of our own documents")
	more := fs.String("extensions", "internal/lexicon/extensions.json", "types: members that our methods have beside those of their lexicon")
	version := fs.String("version", "", "catalogue: the package's version")
	out := fs.String("out", "handlers/lexicon_gen.go", "types: the Go file")
	views := fs.String("views", "internal/proxy/view/view_gen.go", "views: the Go file")
	methods := fs.String("methods", defaultMethods, "types: methods to write, comma-separated NSIDs, or prefixes ending in a dot")
	if err := fs.Parse(args[1:]); err != nil {
		return err
	}
	emit := func(path string, b []byte) error {
		if !*check {
			return writeIfChanged(path, b)
		}
		old, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if !bytes.Equal(old, b) {
			return fmt.Errorf("%s is not what its source gives: run make generate", path)
		}
		return nil
	}
	switch args[0] {
	case "catalogue":
		src, err := os.ReadFile(*source)
		if err != nil {
			return err
		}
		b, err := makeCatalogue(src, *version)
		if err != nil {
			return err
		}
		if b, err = replaceOwn(b, *own); err != nil {
			return err
		}
		return emit(*catalogue, b)
	case "own": // the package's documents stay as they are
		b, err := os.ReadFile(*catalogue)
		if err != nil {
			return err
		}
		if b, err = replaceOwn(b, *own); err != nil {
			return err
		}
		return emit(*catalogue, b)
	case "verify": // what can be checked when the npm registry is out of reach
		b, err := os.ReadFile(*catalogue)
		if err != nil {
			return err
		}
		h, _, _, err := splitCatalogue(b)
		if err != nil {
			return err
		}
		if *version != "" && h.Version != *version {
			return fmt.Errorf("the catalogue is of %s, the pinned version is %s", h.Version, *version)
		}
		return nil
	case "types":
		b, err := os.ReadFile(*catalogue)
		if err != nil {
			return err
		}
		extensions, err := os.ReadFile(*more)
		if err != nil {
			return err
		}
		code, err := makeTypes(b, extensions, strings.Split(*methods, ","))
		if err != nil {
			return err
		}
		return emit(*out, code)
	case "views":
		b, err := os.ReadFile(*catalogue)
		if err != nil {
			return err
		}
		code, err := makeViews(b)
		if err != nil {
			return err
		}
		return emit(*views, code)
	}
	return fmt.Errorf("unknown command %q", args[0])
}

// defaultMethods are those whose types are committed.
const defaultMethods = "com.atproto.,org.auroralocus.,app.bsky.actor.getPreferences,app.bsky.actor.putPreferences"
