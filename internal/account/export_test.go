package account

// Hashes is how many were made so far, of any password.
func (p *Passwords) Hashes() int64 { return p.done.Load() }
