package main

import (
	"os"

	"github.com/auroralocus/locus/openapi"
)

type openapiCmd struct{}

func (openapiCmd) Run() error {
	_, err := os.Stdout.Write(openapi.YAML())
	return err
}
