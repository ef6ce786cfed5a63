// Package twice calls start_response again, without exc_info.
package twice

import "wasgi"

func Application(environ wasgi.Environ, startResponse wasgi.StartResponse) (wasgi.Body, error) {
	if err := startResponse("200 OK", nil); err != nil {
		return wasgi.Text("not reached"), nil
	}
	return wasgi.Text("not reached"), startResponse("201 Created", nil)
}
