package admin

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"sort"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	v1 "github.com/go-json-experiment/json/v1"
)

// documentVersion is that of the interface. The first number changes when a client may break.
const documentVersion = "1.0.0"

const schemaPrefix = "#/components/schemas/"

func newGroup(s *Server) *group {
	g := &group{server: s}
	registry := huma.NewMapRegistry(schemaPrefix, huma.DefaultSchemaNamer)
	config := huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info: &huma.Info{
				Title: "Aurora Locus operator API", Version: documentVersion,
				Description: "Creates, configures, watches and bills the tenants of a deployment. Callers bring a token of the deployment, which `locus token create` makes. " +
					"Every refusal is a problem with a code that stays the same. A POST may carry an Idempotency-Key: repeated within a day, the same request gets the same answer and is not done again.",
				License: &huma.License{Name: "MIT", Identifier: "MIT"},
				Contact: &huma.Contact{Name: "Aurora Locus", URL: "https://github.com/auroralocus/locus"},
			},
			Servers: []*huma.Server{{URL: "/"}},
			Components: &huma.Components{
				Schemas: registry,
				SecuritySchemes: map[string]*huma.SecurityScheme{
					"token": {Type: "http", Scheme: "bearer", Description: "A token of the deployment. What it may do is said by its role: owner, support, billing, or tenant for one tenant only."},
				},
			},
			Security: []map[string][]string{{"token": {}}},
		},
		Formats:       map[string]huma.Format{"application/json": strictJSON, problemType: strictJSON},
		DefaultFormat: "application/json",

		RejectUnknownQueryParameters: true,
	}
	registry.Schema(typeOf[Problem](), true, "Problem")
	g.api = humago.New(gatedMux{s.mux, g}, config)
	return g
}

// strictJSON refuses a member that is given twice, and does not take "Hostname" for "hostname".
var strictJSON = huma.Format{
	Marshal: func(w io.Writer, v any) error {
		b, err := json.Marshal(v, v1.OmitEmptyWithLegacySemantics(true), json.FormatNilSliceAsNull(false))
		if err != nil {
			return err
		}
		_, err = w.Write(b)
		return err
	},
	Unmarshal: func(data []byte, v any) error {
		if err := json.Unmarshal(data, v, jsontext.AllowDuplicateNames(false)); err != nil {
			return fmt.Errorf("the body is not the JSON that is wanted")
		}
		return nil
	},
}

// huma is the operation as Huma registers and the document shows it.
func (o *operation) huma() huma.Operation {
	tag := strings.Split(strings.TrimPrefix(o.path, "/v1/"), "/")[0]
	text := "For tokens of role " + rolesOf(o.class) + "."
	if o.class.tenant && slices.Contains(o.class.roles, 4) {
		text = strings.Replace(text, "tenant.", "tenant (its own).", 1)
	}
	if o.doc != "" {
		text = o.doc + "\n\n" + text
	}
	status := o.status
	if status == 0 {
		status = http.StatusOK
	}
	h := huma.Operation{
		OperationID: o.id, Method: o.verb, Path: o.path, Tags: []string{tag}, Summary: o.summary, Description: text,
		DefaultStatus: status, MaxBodyBytes: -1, BodyReadTimeout: -1,
		Responses: map[string]*huma.Response{"401": problemResponse("There is no token, or none that is good."), "default": problemResponse("A problem: code says which.")},
	}
	if o.stream {
		h.Responses["200"] = &huma.Response{
			Description: "Events.", Content: map[string]*huma.MediaType{"text/event-stream": {Schema: &huma.Schema{Type: huma.TypeString}}},
		}
	}
	if o.verb == http.MethodPost {
		h.Parameters = append(h.Parameters, &huma.Param{
			Name: "Idempotency-Key", In: "header", Schema: &huma.Schema{Type: huma.TypeString, MinLength: new(1), MaxLength: new(maxKey)},
			Description: "A name of the caller's own for this request, such as a UUID. The same request under the same name is done once, and its answer given again for a day.",
		})
	}
	return h
}

func problemResponse(text string) *huma.Response {
	return &huma.Response{Description: text, Content: map[string]*huma.MediaType{problemType: {Schema: &huma.Schema{Ref: schemaPrefix + "Problem"}}}}
}

// finish tidies what Huma wrote.
func finish(doc *huma.OpenAPI) {
	delete(doc.Components.Schemas.Map(), "Error") // XRPC's, which Huma takes for everybody's
	tags := map[string]string{
		"tenants": "Hosted PDSes, one a hostname.", "usage": "What tenants used, day by day.", "jobs": "Long work that can be watched and cancelled.",
		"tokens": "Credentials of this API.", "audit": "What was done to the deployment and to whole tenants.", "nodes": "The Postgres servers that tenants live on.",
		"settings": "What can be set of a tenant.", "backups": "Tenants in files, in the deployment's store of backups.", "proofs": "What was proved restorable.", "master-keys": "The keys that seal what is secret in the database.", "roles": "The second wall around each tenant, in Postgres.", "me": "Who calls.",
	}
	used := map[string]bool{}
	for _, item := range doc.Paths {
		for _, op := range []*huma.Operation{item.Get, item.Post, item.Put, item.Patch, item.Delete} {
			if op != nil {
				used[op.Tags[0]] = true
			}
		}
	}
	names := make([]string, 0, len(used))
	for name := range used {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		if tags[name] == "" {
			panic("the tag " + name + " has no description")
		}
		doc.Tags = append(doc.Tags, &huma.Tag{Name: name, Description: tags[name]})
	}
}

func rolesOf(c class) string {
	names := make([]string, len(c.roles))
	for i, r := range c.roles {
		names[i] = r.String()
	}
	return strings.Join(names, ", ")
}

// Access is the whole policy on one page, an operation a line.
func (s *Server) Access() string {
	ops := slices.Clone(s.operations)
	slices.SortFunc(ops, func(a, b *operation) int { return strings.Compare(a.path+" "+a.verb, b.path+" "+b.verb) })
	var out strings.Builder
	w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "# path\tverb\toperation\tclass\troles\tbody\tidempotency key")
	for _, o := range ops {
		body, key := "-", "-"
		if o.verb != http.MethodGet && o.verb != http.MethodDelete {
			body = strconv.Itoa(maxBody)
		}
		if o.verb == http.MethodPost {
			key = "yes"
		}
		fmt.Fprintln(w, strings.Join([]string{o.path, o.verb, o.id, o.class.name, rolesOf(o.class), body, key}, "\t"))
	}
	_ = w.Flush() // into memory
	lines := strings.Split(out.String(), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.Join(lines, "\n")
}
