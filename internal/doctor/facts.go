package doctor

import "context"

// facts holds what processes were started as against what the database says now. A process that starts is refused when
// the two differ; one that serves already goes on with what it read, and makes URLs and DIDs by that.
func (d Deployment) facts(ctx context.Context) (found []Finding) {
	noted, err := d.Noted(ctx)
	if err != nil {
		return one(Error, "facts", "what the deployment is cannot be read", err.Error(), "look at the database")
	}
	if noted == "" {
		return one(Warning, "facts-none", "the database does not say what the deployment is", "no public scheme, port and PLC directory are kept", "start a server, which writes them down, or say them: 'locus deployment set'")
	}
	if d.Said != nil {
		found = append(found, Finding{Error, "facts-flags", "this command was told something else of the deployment than the database says: a server with the same settings does not start", d.Said.Error(), "take the flag or variable away; if the deployment has changed, 'locus deployment set' says so to all"})
	}
	if d.Nodes == nil {
		return found
	}
	list, err := d.Nodes(ctx)
	if err != nil {
		return append(found, notLooked("what processes were started with: %v", err)...) // the check of the processes finds that
	}
	for _, n := range list {
		if is := n.Facts.Started; is != "" && is != noted {
			found = append(found, Finding{Error, "facts-node", "a process serves as another deployment than the database says", n.Address + " was started as " + is + "; the database says " + noted, "start it anew"})
		}
	}
	return found
}
