package handlers

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// jsonFormat is Huma's only format. Unlike encoding/json it refuses a member given twice and does not
// take "Repo" for "repo"; what is wrong is told without repeating the body.
var jsonFormat = huma.Format{
	Marshal: func(w io.Writer, v any) error {
		if e, ok := v.(interface{ encoded() []byte }); ok {
			_, err := w.Write(e.encoded())
			return err
		}
		return json.MarshalWrite(w, v)
	},
	Unmarshal: func(data []byte, v any) error {
		if err := json.Unmarshal(data, v); err != nil {
			return errors.New(jsonMessage(err))
		}
		return nil
	},
}

// jsonMessage says what is wrong with a body. Member names appear only when they are ours.
func jsonMessage(err error) string {
	var syntax *jsontext.SyntacticError
	if errors.As(err, &syntax) {
		if errors.Is(err, jsontext.ErrDuplicateName) {
			return fmt.Sprintf("the request body has an object with the same member twice, at byte %d", syntax.ByteOffset)
		}
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return "the request body ends in the middle of its JSON"
		}
		return fmt.Sprintf("the request body is not valid JSON at byte %d", syntax.ByteOffset)
	}
	var semantic *json.SemanticError
	if errors.As(err, &semantic) {
		where := strings.ReplaceAll(strings.TrimPrefix(string(semantic.JSONPointer), "/"), "/", ".")
		if where == "" {
			where = "the request body"
		}
		var format *errFormat
		switch {
		case errors.As(semantic.Err, &format):
			return where + " " + format.Error()
		case errors.Is(semantic.Err, errNoType), errors.Is(semantic.Err, errUnknownType):
			return where + " " + semantic.Err.Error()
		}
		return where + " must be " + goKind(semantic.GoType)
	}
	return "the request body cannot be read"
}

func typeOf[T any]() reflect.Type { return reflect.TypeFor[T]() }
