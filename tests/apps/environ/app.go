// Package environ tells the CGI variables, as bytes, and the address that they make.
package environ

import (
	"maps"
	"slices"
	"strings"

	"wasgi"
)

func Application(environ wasgi.Environ, startResponse wasgi.StartResponse) (wasgi.Body, error) {
	var lines strings.Builder
	for _, name := range slices.Sorted(maps.Keys(environ)) {
		if !strings.Contains(name, ".") {
			lines.WriteString(name + "=" + environ[name] + "\n")
		}
	}
	lines.WriteString("application_uri=" + environ.ApplicationURI() + "\nrequest_uri=" + environ.RequestURI() + "\n")
	return wasgi.Text(lines.String()), startResponse("200 OK", nil)
}
