// Package tooshort: less than its Content-Length.
package tooshort

import "wasgi"

func Application(environ wasgi.Environ, startResponse wasgi.StartResponse) (wasgi.Body, error) {
	return wasgi.Text("hello"), startResponse("200 OK", wasgi.Headers{{"Content-Length", "10"}})
}
