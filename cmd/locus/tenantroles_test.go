package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/dbtest"
)

// A deployment that had no roles gets them by the command, once; it says so in both forms.
func TestTenantRoles(t *testing.T) {
	dir, url := t.TempDir(), dbtest.URL(t)
	flags := []string{"--data-dir", dir, "--database-url", url}
	for _, host := range []string{"one.example.com", "two.example.com"} {
		if _, stderr, err := run(t, append([]string{"tenant", "create", host}, flags...)...); err != nil {
			t.Fatal(err, stderr)
		}
	}
	for _, want := range []int{2, 0} {
		out, stderr, err := run(t, append([]string{"tenant", "roles", "--json"}, flags...)...)
		var made db.RolesMade
		if err != nil || json.Unmarshal([]byte(out), &made) != nil || made.Made != want || made.Seen != 2 {
			t.Errorf("%s%s%v", out, stderr, err)
		}
	}
	out, stderr, err := run(t, append([]string{"tenant", "roles", "--again"}, flags...)...)
	if err != nil || !strings.HasPrefix(out, "2 roles made, 2 of 2 tenants") {
		t.Errorf("%s%s%v", out, stderr, err)
	}
	// With them, commands that work on tenants go on.
	if _, stderr, err := run(t, append([]string{"tenant", "create", "three.example.com", "--tenant-roles"}, flags...)...); err != nil {
		t.Error(err, stderr)
	}
	d := dbtest.Open(t, url)
	made, err := d.MakeTenantRoles(t.Context(), false, nil)
	if err != nil || made.Made != 0 || made.Seen != 3 {
		t.Errorf("%+v %v", made, err)
	}
	for _, id := range []string{"t_1", "t_2", "t_3"} { // their roles are the server's, not the database's
		s, err := db.ParseSchema(id)
		if err == nil {
			err = d.DropTenantSchema(t.Context(), s)
		}
		if err != nil {
			t.Error(err)
		}
	}
}
