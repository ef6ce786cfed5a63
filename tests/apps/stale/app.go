// Package stale keeps the environ of one request, and reads from its input and writes in the next.
package stale

import (
	"io"

	"wasgi"
)

var kept wasgi.Environ

func Application(environ wasgi.Environ, startResponse wasgi.StartResponse) (wasgi.Body, error) {
	stolen := "nothing kept"
	if kept != nil {
		if _, err := io.ReadAll(kept.Input()); err != nil {
			stolen = err.Error()
		}
		if _, err := kept.Write([]byte("from the last")); err != wasgi.ErrOver {
			return nil, err
		}
	}
	body, err := io.ReadAll(environ.Input())
	if err != nil {
		return nil, err
	}
	kept = environ
	return wasgi.Text(stolen + ", " + string(body)), startResponse("200 OK", nil)
}
