// Package log has lines for the tenant's log.
package log

import (
	"io"

	"wasgi"
)

func Application(environ wasgi.Environ, startResponse wasgi.StartResponse) (wasgi.Body, error) {
	if _, err := io.WriteString(wasgi.Errors, "first line\nsecond \u017elu\u0165 line\nwithout an end"); err != nil {
		return nil, err
	}
	return wasgi.Text("logged"), startResponse("200 OK", nil)
}
