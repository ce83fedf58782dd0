package xrpc

import (
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// huma is the operation as Huma registers and the document shows it.
func (op *Operation) huma() huma.Operation {
	parts := strings.Split(op.NSID, ".")
	h := huma.Operation{
		OperationID: op.NSID,
		Method:      op.Kind.Verb(),
		Path:        "/xrpc/" + op.NSID,
		Tags:        []string{strings.Join(parts[:len(parts)-1], ".")},
		Summary:     op.text.summary,
		Description: op.describe(),
		// Without an output schema XRPC answers 200 with an empty body, not 204.
		DefaultStatus: 200,
		// incoming.go limits bodies and looks after deadlines: Huma refuses a body of exactly the limit, and its
		// read deadline would end the request's context five seconds later.
		MaxBodyBytes:    -1,
		BodyReadTimeout: -1,
		// The gate holds both against the lexicon.
		SkipValidateParams: true,
		SkipValidateBody:   true,
		Middlewares:        huma.Middlewares{op.before},
		Responses:          map[string]*huma.Response{},
		Extensions:         map[string]any{"x-errors": namesOf(op.Declared())}, // the clients make types of them
	}
	binary := func(encoding string) map[string]*huma.MediaType {
		return map[string]*huma.MediaType{encoding: {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}}
	}
	if op.Input != "" && op.Input != "application/json" {
		h.RequestBody = &huma.RequestBody{Required: true, Content: binary(op.Input)}
	}
	if op.Output != "" && op.Output != "application/json" {
		h.Responses["200"] = &huma.Response{Description: "OK", Content: binary(op.Output)}
	}
	refused := &huma.Response{Description: "Refused: the request is not as it should be."}
	of400, others := op.errorsText()
	if of400 != "" {
		refused.Description = "Refused. Errors of this method, beside those of every method:\n" + of400
	}
	other := "Any other error, in the same form."
	if others != "" {
		other += " Errors of this method, beside those of every method:\n" + others
	}
	refused.Content = map[string]*huma.MediaType{"application/json": {Schema: &huma.Schema{Ref: errorRef}}}
	h.Responses["400"] = refused
	h.Responses["default"] = &huma.Response{
		Description: other,
		Content:     map[string]*huma.MediaType{"application/json": {Schema: &huma.Schema{Ref: errorRef}}},
	}
	switch op.Class {
	case "public":
		h.Security = []map[string][]string{} // said, so that nobody takes it for forgotten
	case "account":
		h.Security = []map[string][]string{{"session": {}}}
		if op.services {
			h.Security = append(h.Security, map[string][]string{"service": {}})
		}
	case "refresh":
		h.Security = []map[string][]string{{"refresh": {}}}
	case "overseen":
		h.Security = []map[string][]string{{"session": {}}, {"service": {}}}
	case "newcomer":
		h.Security = []map[string][]string{{}, {"service": {}}}
	case "operator":
		h.Security = []map[string][]string{{"operator": {}}}
	case "viewer":
		h.Security = []map[string][]string{{}, {"session": {}}, {"operator": {}}}
	}
	return h
}

// subscription is the operation of a stream as the document shows it; Huma does not serve it.
func (op *Operation) subscription() *huma.Operation {
	h := op.huma()
	h.Middlewares = nil
	h.Description = "A WebSocket: the request is an upgrade (HTTP/1.1). " + op.describe()
	h.Parameters = []*huma.Param{{
		Name: "cursor", In: "query", Description: "The last number that was received: what follows is sent. Without it, what is new.",
		Schema: &huma.Schema{Type: huma.TypeInteger, Format: "int64"},
	}}
	h.Responses["101"] = &huma.Response{Description: "The stream: binary messages, each a header and a body in DAG-CBOR."}
	h.Responses["426"] = h.Responses["default"]
	return &h
}

const (
	schemaPrefix = "#/components/schemas/"
	errorRef     = schemaPrefix + "Error"
	// documentVersion is the interface's, not the program's: the committed document does not change with builds.
	documentVersion = "0.1.0"
)

// describe tells in words what access.txt tells in columns.
func (op *Operation) describe() string {
	var s string
	switch op.Class {
	case "public":
		s = "Anybody may call this."
	case "viewer":
		s = "Anybody may call this; the account concerned and the operator see more."
	case "account":
		s = op.Accept.Sentence()
	case "refresh":
		s = "Takes the refresh token in place of the access token."
	case "overseen":
		s = op.Accept.Sentence() + " The moderation service of this server may call it with its own token, and names an account with the parameter did."
	case "newcomer":
		s = "Anybody may call this. Who brings a DID proves to have it with a service token, signed by its key for this method."
	case "operator":
		s = "For the operator of this server."
	}
	return s
}

// newDocument is the document before any method is in it.
func newDocument() *huma.OpenAPI {
	registry := huma.NewMapRegistry(schemaPrefix, huma.DefaultSchemaNamer)
	registry.Schema(typeOf[Error](), true, "Error")
	return &huma.OpenAPI{
		OpenAPI: "3.1.0",
		Info: &huma.Info{
			Title:   "Aurora Locus",
			Version: documentVersion,
			License: &huma.License{Name: "MIT", Identifier: "MIT"},
			Contact: &huma.Contact{Name: "Aurora Locus", URL: "https://github.com/auroralocus/locus"},
		},
		Servers: []*huma.Server{{URL: "/"}},
		Components: &huma.Components{
			Schemas: registry,
			SecuritySchemes: map[string]*huma.SecurityScheme{
				"session":  {Type: "http", Scheme: "bearer", BearerFormat: "JWT", Description: "The accessJwt of createSession, createAccount or refreshSession."},
				"refresh":  {Type: "http", Scheme: "bearer", BearerFormat: "JWT", Description: "The refreshJwt."},
				"service":  {Type: "http", Scheme: "bearer", BearerFormat: "JWT", Description: "A token signed with an account's own key, for one method of this server."},
				"operator": {Type: "http", Scheme: "basic", Description: "User name admin, the tenant's admin password."},
			},
		},
	}
}

// finishDocument tidies what Huma wrote once all methods are in.
func finishDocument(doc *huma.OpenAPI) {
	// Every object may have more members. Said with "additionalProperties: true" it would spoil generated types,
	// which then take any member of any name.
	for _, s := range doc.Components.Schemas.Map() {
		if s.AdditionalProperties != nil {
			s.AdditionalProperties = nil
		}
	}
	tags := map[string]bool{}
	for _, item := range doc.Paths {
		for _, op := range []*huma.Operation{item.Get, item.Post} {
			if op == nil {
				continue
			}
			for _, t := range op.Tags {
				tags[t] = true
			}
			for _, p := range op.Parameters {
				// "explode" says something of arrays only.
				if p.Schema != nil && p.Schema.Type != huma.TypeArray {
					p.Explode = nil
				}
			}
		}
	}
	doc.Tags = nil
	for t := range tags {
		doc.Tags = append(doc.Tags, &huma.Tag{Name: t})
	}
	slices.SortFunc(doc.Tags, func(a, b *huma.Tag) int { return strings.Compare(a.Name, b.Name) })
}
