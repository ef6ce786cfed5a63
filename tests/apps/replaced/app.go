// Package replaced has exc_info before the head is sent, which replaces it whole.
package replaced

import (
	"errors"

	"wasgi"
)

func Application(environ wasgi.Environ, startResponse wasgi.StartResponse) (wasgi.Body, error) {
	if err := startResponse("200 OK", wasgi.Headers{{"X-Old", "1"}}); err != nil {
		return nil, err
	}
	err := startResponse("503 Try Later", wasgi.Headers{{"X-New", "2"}}, errors.New("too early"))
	return wasgi.Text("replaced"), err
}
