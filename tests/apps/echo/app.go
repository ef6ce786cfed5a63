// Package echo sends back what comes, while it comes.
package echo

import "wasgi"

func Application(environ wasgi.Environ, startResponse wasgi.StartResponse) (wasgi.Body, error) {
	if err := startResponse("200 OK", nil); err != nil {
		return nil, err
	}
	return wasgi.Reader(environ.Input()), nil
}
