// Package disconnect has a body that ends too early, which is an error that stays.
package disconnect

import (
	"fmt"
	"io"

	"wasgi"
)

func Application(environ wasgi.Environ, startResponse wasgi.StartResponse) (wasgi.Body, error) {
	for range 2 {
		if _, err := io.ReadAll(environ.Input()); err != nil {
			fmt.Fprintln(wasgi.Errors, "no body:", err)
		} else {
			fmt.Fprintln(wasgi.Errors, "the body looks whole")
		}
	}
	return wasgi.Text("gone"), startResponse("200 OK", nil)
}
