// Package empties has empty chunks, which send nothing.
package empties

import "wasgi"

func Application(environ wasgi.Environ, startResponse wasgi.StartResponse) (wasgi.Body, error) {
	return wasgi.Bytes(nil, nil, []byte("hello"), []byte{}, []byte("!")), startResponse("200 OK", nil)
}
