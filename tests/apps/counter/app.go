// Package counter counts the requests of its instance, and reads each one's body.
package counter

import (
	"fmt"
	"io"

	"wasgi"
)

var count int

func Application(environ wasgi.Environ, startResponse wasgi.StartResponse) (wasgi.Body, error) {
	body, err := io.ReadAll(environ.Input())
	if err != nil {
		return nil, err
	}
	count++
	return wasgi.Text(fmt.Sprintf("%05d %07d", count, len(body))), startResponse("200 OK", nil)
}
