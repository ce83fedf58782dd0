package web

import (
	"embed"
	"io/fs"
)

//go:embed testdata/*.html
var specimenFiles embed.FS

// specimenPages show every part, for looks and for tests.
func specimenPages() Pages {
	files, err := fs.Sub(specimenFiles, "testdata")
	if err != nil {
		panic(err)
	}
	return ParsePages(files)
}
