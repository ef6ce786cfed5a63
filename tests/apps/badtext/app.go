// Package badtext has text that a client chose, in the log and in an error.
package badtext

import (
	"fmt"

	"wasgi"
)

func Application(environ wasgi.Environ, startResponse wasgi.StartResponse) (wasgi.Body, error) {
	fmt.Fprintln(wasgi.Errors, "asked for", environ["PATH_INFO"])
	return nil, fmt.Errorf("no page: %s", environ["PATH_INFO"])
}
