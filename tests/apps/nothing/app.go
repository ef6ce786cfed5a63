// Package nothing: a status that has no body.
package nothing

import "wasgi"

func Application(environ wasgi.Environ, startResponse wasgi.StartResponse) (wasgi.Body, error) {
	return wasgi.Text("must not be sent"), startResponse("204 No Content", wasgi.Headers{{"X-A", "1"}})
}
