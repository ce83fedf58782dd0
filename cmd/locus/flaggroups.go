package main

import (
	"reflect"

	"github.com/alecthomas/kong"
)

// deploymentGroup is the heading of the flags that say where the deployment is and how it works: they are alike in nearly
// all commands, and stand in the configuration. A command's own flags come before them in its help.
var deploymentGroup = &kong.Group{Key: "deployment", Title: "Flags of the deployment, which most commands have:"}

// deploymentFlags are what these are made of.
type deploymentFlags struct {
	Log logFlags `embed:"" prefix:"log-"`
	dataFlags
	backupStoreFlags
	originFlags
	outsideFlags
}

// groupFlags puts them under their heading.
func groupFlags(model *kong.Application) {
	k, err := kong.New(&deploymentFlags{})
	if err != nil {
		panic(err) // the same fields are in the command line, which was read
	}
	shared := map[string]reflect.Type{}
	for _, f := range k.Model.Flags {
		shared[f.Name] = f.Target.Type()
	}
	var group func(n *kong.Node)
	group = func(n *kong.Node) {
		for _, f := range n.Flags {
			if of, ok := shared[f.Name]; ok && of == f.Target.Type() && f.Name != "help" {
				f.Group = deploymentGroup
			}
		}
		for _, child := range n.Children {
			group(child)
		}
	}
	group(model.Node)
}
