// Package headers has repetitions, Latin-1, and a reason of its own.
package headers

import "wasgi"

func Application(environ wasgi.Environ, startResponse wasgi.StartResponse) (wasgi.Body, error) {
	fields := wasgi.Headers{{"Set-Cookie", "a=1"}, {"X-A", "caf\xe9 \xff"}, {"Set-Cookie", "b=2"}}
	return wasgi.Bytes(), startResponse("299 All Is W\xfcll", fields)
}
