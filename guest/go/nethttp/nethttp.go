// Package nethttp serves a http.Handler as a WSGI application.
//
//	func init() { wasgi.Handle(nethttp.Application(mux)) }
package nethttp

import (
	"errors"
	"net/http"
	"strconv"
	"strings"

	"wasgi"
)

// Application serves `handler`. What it writes is sent in pieces of 32 KiB, or when it flushes; less than that becomes one chunk, with its
// Content-Length. A panic is the application's error, as everywhere in net/http http.ErrAbortHandler only ends the response.
func Application(handler http.Handler) wasgi.Application {
	return func(environ wasgi.Environ, startResponse wasgi.StartResponse) (wasgi.Body, error) {
		request, err := Request(environ)
		if err != nil {
			return nil, err
		}
		response := &response{header: http.Header{}, start: startResponse}
		handler.ServeHTTP(response, request)
		return response.rest()
	}
}

// Request is the request of an environ.
func Request(environ wasgi.Environ) (*http.Request, error) {
	request, err := http.NewRequest(environ["REQUEST_METHOD"], environ.RequestURI(), environ.Input())
	if err != nil {
		return nil, err
	}
	request.Proto = environ["SERVER_PROTOCOL"]
	if major, minor, ok := http.ParseHTTPVersion(request.Proto); ok {
		request.ProtoMajor, request.ProtoMinor = major, minor
	}
	request.RequestURI = environ["REQUEST_URI"]
	request.RemoteAddr = environ["REMOTE_ADDR"] + ":" + environ["REMOTE_PORT"]
	for name, value := range environ {
		if field, ok := strings.CutPrefix(name, "HTTP_"); ok && field != "HOST" {
			request.Header.Set(strings.ReplaceAll(field, "_", "-"), value)
		}
	}
	if value := environ["CONTENT_TYPE"]; value != "" {
		request.Header.Set("Content-Type", value)
	}
	request.ContentLength = -1
	switch value := environ["CONTENT_LENGTH"]; {
	case value != "":
		request.ContentLength, err = strconv.ParseInt(value, 10, 64)
	case environ["wsgi.input_terminated"] != "1":
		request.ContentLength, request.Body = 0, http.NoBody
	}
	return request, err
}

const piece = 32 << 10

type response struct {
	header   http.Header
	start    wasgi.StartResponse
	status   int
	started  bool
	buffered []byte
	err      error
}

func (response *response) Header() http.Header { return response.header }

// WriteHeader notes the status; the first bytes decide about the Content-Type. Informational responses are not the head.
func (response *response) WriteHeader(status int) {
	if response.status == 0 && status >= 200 {
		response.status = status
	}
}

func (response *response) begin(first []byte) {
	if response.started {
		return
	}
	response.started = true
	response.WriteHeader(http.StatusOK)
	if response.header.Get("Content-Type") == "" && len(first) > 0 {
		response.header.Set("Content-Type", http.DetectContentType(first))
	}
	status := response.status
	var headers wasgi.Headers
	for name, values := range response.header {
		for _, value := range values {
			headers = append(headers, wasgi.Header{Name: name, Value: value})
		}
	}
	response.err = response.start(strconv.Itoa(status)+" "+http.StatusText(status), headers)
}

func (response *response) Write(data []byte) (int, error) {
	response.begin(data)
	if response.err != nil {
		return 0, response.err
	}
	response.buffered = append(response.buffered, data...)
	if len(response.buffered) >= piece {
		return len(data), response.FlushError()
	}
	return len(data), nil
}

// Flush sends what was written.
func (response *response) Flush() { _ = response.FlushError() }

// FlushError is what http.ResponseController calls.
func (response *response) FlushError() error {
	response.begin(nil)
	if response.err == nil && len(response.buffered) > 0 {
		_, response.err = wasgi.Write(response.buffered)
		response.buffered = response.buffered[:0]
	}
	return response.err
}

// What is still to be sent.
func (response *response) rest() (wasgi.Body, error) {
	response.begin(nil)
	// Who has gone needs no answer, and that is no error of the application.
	if errors.Is(response.err, wasgi.ErrDisconnected) {
		return wasgi.Bytes(), nil
	}
	return wasgi.Bytes(response.buffered), response.err
}
