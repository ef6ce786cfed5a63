// Package toolong: more than its Content-Length.
package toolong

import "wasgi"

func Application(environ wasgi.Environ, startResponse wasgi.StartResponse) (wasgi.Body, error) {
	return wasgi.Bytes([]byte("hello"), []byte(" world")), startResponse("200 OK", wasgi.Headers{{"Content-Length", "8"}})
}
