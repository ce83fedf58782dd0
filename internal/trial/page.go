package main

import (
	"fmt"
	"os"
	"regexp"
	"strings"
)

// section is the one of the page that is followed.
const section = "## Debian and Ubuntu\n"

// page is what an operator types, in order.
type page struct{ blocks []block }

type block struct {
	what string // the first sentence of what stands before it
	text string
}

var fence = regexp.MustCompile("(?s)(?:([^\n`][^\n]*(?:\n[^\n]+)*)\n\n)?```sh[^\n]*\n(.*?)```")

func readPage(file string) (page, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return page{}, err
	}
	_, after, found := strings.Cut(string(text), section)
	if !found {
		return page{}, fmt.Errorf("%s has no section %q", file, strings.TrimSpace(section))
	}
	after, _, _ = strings.Cut(after, "\n## ")
	var p page
	for _, m := range fence.FindAllStringSubmatch(after, -1) {
		what, _, _ := strings.Cut(strings.Join(strings.Fields(m[1]), " "), ". ")
		if what == "" { // a block directly behind another
			what, _, _ = strings.Cut(m[2], "\n")
		}
		p.blocks = append(p.blocks, block{what: strings.TrimRight(what, ".:?"), text: m[2]})
	}
	if len(p.blocks) == 0 {
		return page{}, fmt.Errorf("%s has no commands in its section %q", file, strings.TrimSpace(section))
	}
	return p, nil
}

// filled has what the page cannot know: the version's file and the bucket's keys. All else is as the page says it.
func (page) filled(text, deb string) string {
	return strings.NewReplacer("locus_1.2.3_amd64.deb", deb, "ACCESS KEY", bucketUser, "SECRET KEY", bucketPassword, "region=eu", "region=us-east-1", "user:password@", mailUser+":"+mailPassword+"@").Replace(text)
}
