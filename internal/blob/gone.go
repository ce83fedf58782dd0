package blob

import "github.com/auroralocus/locus/db"

// forget drops what this process knows of the stores of a tenant that is gone.
func (s *Stores) forget(schema db.Schema) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.tenants, schema)
}

// ForgetTenant drops what this process remembers of a tenant that is gone.
func (b *Blobs) ForgetTenant(schema db.Schema) { b.Stores.forget(schema) }
