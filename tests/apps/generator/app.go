// Package generator makes chunks while they are sent, and is closed.
package generator

import (
	"fmt"

	"wasgi"
)

func Application(environ wasgi.Environ, startResponse wasgi.StartResponse) (wasgi.Body, error) {
	return wasgi.Stream(func(yield func([]byte, error) bool) {
		defer fmt.Fprintln(wasgi.Errors, "generator closed")
		for number := range 3 {
			if !yield(fmt.Appendf(nil, "line %d\n", number), nil) {
				return
			}
		}
	}), startResponse("200 OK", nil)
}
