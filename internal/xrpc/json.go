package xrpc

import (
	"errors"
	"fmt"
	"io"
	"reflect"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/auroralocus/locus/internal/lexicon"
)

// jsonBodies is Huma's only format. A body is held against the lexicon of the method whose Input has it before it is read
// into a Go value; what is wrong is told without repeating the body. Unlike encoding/json it refuses a member given twice
// and does not take "Repo" for "repo".
func jsonBodies(of map[reflect.Type]*lexicon.Method) huma.Format {
	return huma.Format{
		Marshal: func(w io.Writer, v any) error {
			var b []byte
			if e, ok := v.(interface{ encoded() []byte }); ok {
				b = e.encoded()
			} else {
				var err error
				if b, err = json.Marshal(v); err != nil {
					return err
				}
			}
			if c, ok := w.(interface{ weigh(int) }); ok {
				c.weigh(len(b))
			}
			_, err := w.Write(b)
			return err
		},
		Unmarshal: func(data []byte, v any) error {
			method := of[reflect.TypeOf(v).Elem()]
			if method == nil {
				return errors.New("the request body cannot be read") // every registered body is in the table
			}
			err := method.CheckBody(data)
			if err == nil {
				err = json.Unmarshal(data, v)
			}
			if err != nil {
				return errors.New(jsonMessage(err))
			}
			return nil
		},
	}
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
	if of, ok := lexicon.Violation(err); ok {
		return of
	}
	return "the request body cannot be read"
}

func typeOf[T any]() reflect.Type { return reflect.TypeFor[T]() }
