// Package oversize has one chunk that is longer than what the host takes at once.
package oversize

import (
	"strings"

	"wasgi"
)

func Application(environ wasgi.Environ, startResponse wasgi.StartResponse) (wasgi.Body, error) {
	return wasgi.Text(strings.Repeat("0123456789abcdef", 192<<10)), startResponse("200 OK", nil)
}
