// Command generators signs up, signs in and writes a record on a running server with the client that ogen makes of
// ../openapi.yaml: a generator that was not chosen, and that the document must still suit. check.sh makes the package api.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"math/rand/v2"
	"os"

	"github.com/ogen-go/ogen/ogenerrors"

	"github.com/auroralocus/locus/openapi/generators/api"
)

// tokens hands the access token to the calls that take it.
type tokens struct{ access string }

func (t *tokens) Session(context.Context, api.OperationName) (api.Session, error) {
	return api.Session{Token: t.access}, nil
}

func (*tokens) Refresh(context.Context, api.OperationName) (api.Refresh, error) {
	return api.Refresh{}, errors.New("no refresh token")
}

func (*tokens) Service(context.Context, api.OperationName) (api.Service, error) {
	return api.Service{}, ogenerrors.ErrSkipClientSecurity
}

func (*tokens) Operator(context.Context, api.OperationName) (api.Operator, error) {
	return api.Operator{}, errors.New("no operator")
}

func main() {
	log.SetFlags(0)
	if err := run(context.Background(), os.Getenv("LOCUS_URL")); err != nil {
		log.Fatal("ogen: ", err)
	}
}

func run(ctx context.Context, url string) error {
	var t tokens
	c, err := api.NewClient(url, &t)
	if err != nil {
		return err
	}
	server, err := as[*api.ServerDescribeServerOutputBody](c.ComAtprotoServerDescribeServer(ctx))
	if err != nil {
		return err
	}
	name := fmt.Sprintf("og%08d", rand.IntN(100_000_000))
	handle, password := name+server.AvailableUserDomains[0], "a password of "+name
	if _, err := as[*api.ServerCreateAccountOutputBody](c.ComAtprotoServerCreateAccount(ctx, &api.ServerCreateAccountInputBody{
		Handle: handle, Email: api.NewOptString(name + "@example.com"), Password: api.NewOptString(password),
	})); err != nil {
		return err
	}
	session, err := as[*api.ServerCreateSessionOutputBody](c.ComAtprotoServerCreateSession(ctx, &api.ServerCreateSessionInputBody{Identifier: handle, Password: password}))
	if err != nil {
		return err
	}
	t.access = session.AccessJwt
	made, err := as[*api.RepoCreateRecordOutputBody](c.ComAtprotoRepoCreateRecord(ctx, &api.RepoCreateRecordInputBody{
		Repo: session.Did, Collection: "app.bsky.feed.post",
		Record: []byte(`{"$type":"app.bsky.feed.post","text":"made with ogen","createdAt":"2026-11-28T12:00:00Z"}`),
	}))
	if err != nil {
		return err
	}
	page, err := as[*api.RepoListRecordsOutputBody](c.ComAtprotoRepoListRecords(ctx, api.ComAtprotoRepoListRecordsParams{Repo: handle, Collection: "app.bsky.feed.post"}))
	if err != nil {
		return err
	}
	if len(page.Records) != 1 || page.Records[0].URI != made.URI {
		return fmt.Errorf("wrote %s, listed %+v", made.URI, page.Records)
	}
	fmt.Println("ogen:", made.URI)
	return nil
}

// as is an answer of the wanted type; the others are errors.
func as[T any](answer any, err error) (T, error) {
	out, ok := answer.(T)
	if err == nil && !ok {
		err = fmt.Errorf("answered %T %+v", answer, answer)
	}
	return out, err
}
