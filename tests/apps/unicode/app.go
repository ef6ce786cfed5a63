// Package unicode sends text as UTF-8; the path is bytes, in the body and in a header.
package unicode

import "wasgi"

func Application(environ wasgi.Environ, startResponse wasgi.StartResponse) (wasgi.Body, error) {
	path := environ["PATH_INFO"]
	return wasgi.Text(path + " \u017elu\u0165 \U0001f40d"), startResponse("200 OK", wasgi.Headers{{"X-Path", path}})
}
