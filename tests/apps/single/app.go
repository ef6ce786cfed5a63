// Package single: one chunk: its length becomes the Content-Length.
package single

import "wasgi"

func Application(environ wasgi.Environ, startResponse wasgi.StartResponse) (wasgi.Body, error) {
	return wasgi.Text("hello"), startResponse("200 OK", nil)
}
