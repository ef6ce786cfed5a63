// Package late has exc_info when the head is sent: the error is raised again.
package late

import (
	"errors"

	"wasgi"
)

func Application(environ wasgi.Environ, startResponse wasgi.StartResponse) (wasgi.Body, error) {
	return wasgi.Stream(func(yield func([]byte, error) bool) {
		if yield([]byte("sent"), nil) {
			yield([]byte("not reached"), startResponse("500 Oops", nil, errors.New("late trouble")))
		}
	}), startResponse("200 OK", nil)
}
