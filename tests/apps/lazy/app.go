// Package lazy calls start_response when the first chunk is asked for.
package lazy

import "wasgi"

func Application(environ wasgi.Environ, startResponse wasgi.StartResponse) (wasgi.Body, error) {
	return wasgi.Stream(func(yield func([]byte, error) bool) {
		err := startResponse("201 Created", wasgi.Headers{{"X-Lazy", "1"}})
		yield([]byte("lazy"), err)
	}), nil
}
