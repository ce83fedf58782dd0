package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
)

type blobAdoptCmd struct {
	blobArgs
	Store string `placeholder:"STORE" help:"Which store: see 'locus blob store'. Default: the tenant's."`
	Empty bool   `help:"Take it also when none of the files that are looked for is in it: they are lost, and this is where new ones go."`
}

func (*blobAdoptCmd) Help() string {
	return "Each store carries a label (.locus-place-…) whose id the database knows. A server that does not find it there does not use the store: it is another folder of that name, or its disk is not mounted. " +
		"This command puts a new label into the store as this machine sees it, after looking for some of the files that the database knows. Use it when files were brought back from a backup without their label, when a folder was replaced on purpose, or when an old folder of another database is to be used. " +
		"It is for the whole deployment: servers that see another folder or bucket under that name stop using it within seconds, and the same command on their machine undoes it. No file is changed."
}

func (c *blobAdoptCmd) Run(ctx context.Context, log *slog.Logger) error {
	a, t, stop, err := c.assemble(ctx, log, c.Hostname)
	if err != nil {
		return err
	}
	defer stop()
	location := cmp.Or(c.Store, t.Settings.BlobStore)
	found, err := a.acts.AdoptBlobStore(ctx, t, byCommand(), location, c.Empty)
	if err != nil {
		if found.Asked > 0 {
			return fmt.Errorf("%w (--empty takes it all the same, and then 'locus blob verify --repair' gives those files up)", err)
		}
		return err
	}
	if c.JSON {
		return printJSONLine(map[string]any{"store": found.Where, "lookedFor": found.Asked, "found": found.There})
	}
	fmt.Fprintf(os.Stderr, "%s is the store now; %d of %d files that were looked for are in it\n", found.Where, found.There, found.Asked)
	return nil
}
