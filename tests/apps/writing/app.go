// Package writing writes before it yields.
package writing

import "wasgi"

func Application(environ wasgi.Environ, startResponse wasgi.StartResponse) (wasgi.Body, error) {
	if err := startResponse("200 OK", nil); err != nil {
		return nil, err
	}
	for _, text := range []string{"", "written ", "and "} {
		if _, err := environ.Write([]byte(text)); err != nil {
			return nil, err
		}
	}
	return wasgi.Text("yielded"), nil
}
