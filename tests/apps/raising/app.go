// Package raising raises in call, in next or in close, as the path says.
package raising

import (
	"errors"
	"fmt"
	"io"

	"wasgi"
)

var trouble = errors.New("trouble on purpose")

type body struct {
	place string
	given int
}

func (body *body) Next() ([]byte, error) {
	body.given++
	switch {
	case body.given == 1:
		return []byte("one "), nil
	case body.given == 2 && body.place == "next":
		return nil, trouble
	case body.given == 2:
		return []byte("two"), nil
	}
	return nil, io.EOF
}

func (body *body) Close() error {
	fmt.Fprintln(wasgi.Errors, "raising closed")
	if body.place == "close" {
		return trouble
	}
	return nil
}

func Application(environ wasgi.Environ, startResponse wasgi.StartResponse) (wasgi.Body, error) {
	place, _ := environ.ShiftPathInfo()
	if place == "call" {
		return nil, trouble
	}
	return &body{place: place}, startResponse("200 OK", nil)
}
