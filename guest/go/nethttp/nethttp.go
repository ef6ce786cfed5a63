// Package nethttp serves a http.Handler as a WSGI application.
//
//	func init() { wasgi.Handle(nethttp.Application(mux)) }
package nethttp

import (
	"context"
	"errors"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"wasgi"
)

// Application serves `handler`. What it writes is sent in pieces of 32 KiB, or when it flushes; less than that becomes one chunk, with its
// Content-Length. As in net/http, the request's context ends with the handler, and http.ErrAbortHandler breaks the response off; any other
// panic is the application's error.
func Application(handler http.Handler) wasgi.Application {
	return func(environ wasgi.Environ, startResponse wasgi.StartResponse) (body wasgi.Body, err error) {
		defer func() {
			if value := recover(); value == http.ErrAbortHandler {
				body, err = nil, http.ErrAbortHandler
			} else if value != nil {
				panic(value)
			}
		}()
		request := Request(environ)
		end, cancel := context.WithCancel(request.Context())
		defer cancel()
		request = request.WithContext(end)
		response := &response{header: http.Header{}, environ: environ, start: startResponse}
		if request.Method == http.MethodOptions && request.RequestURI == "*" {
			// The server's own, in net/http too.
			return response.rest()
		}
		defer func() {
			if request.MultipartForm != nil {
				_ = request.MultipartForm.RemoveAll()
			}
		}()
		handler.ServeHTTP(response, request)
		return response.rest()
	}
}

// Request is the request of an environ, as net/http's server makes it.
func Request(environ wasgi.Environ) *http.Request {
	target, err := url.ParseRequestURI(environ["REQUEST_URI"])
	if err != nil || target.Path == "" {
		target = &url.URL{Path: environ["SCRIPT_NAME"] + environ["PATH_INFO"], RawQuery: environ["QUERY_STRING"]}
	}
	request := &http.Request{
		Method: environ["REQUEST_METHOD"],
		// A target may name a scheme and a host; the host is in Host.
		URL:        &url.URL{Path: target.Path, RawPath: target.RawPath, RawQuery: target.RawQuery},
		Proto:      environ["SERVER_PROTOCOL"],
		Header:     http.Header{},
		Host:       environ["HTTP_HOST"],
		RequestURI: environ["REQUEST_URI"],
		RemoteAddr: net.JoinHostPort(environ["REMOTE_ADDR"], environ["REMOTE_PORT"]),
		Body:       http.NoBody,
	}
	if major, minor, ok := http.ParseHTTPVersion(request.Proto); ok {
		request.ProtoMajor, request.ProtoMinor = major, minor
	}
	for name, value := range environ {
		if field, ok := strings.CutPrefix(name, "HTTP_"); ok && field != "HOST" && field != "TRANSFER_ENCODING" {
			request.Header.Set(strings.ReplaceAll(field, "_", "-"), value)
		}
	}
	if value := environ["CONTENT_TYPE"]; value != "" {
		request.Header.Set("Content-Type", value)
	}
	if length := environ["CONTENT_LENGTH"]; length != "" {
		request.Header.Set("Content-Length", length)
		request.ContentLength, _ = strconv.ParseInt(length, 10, 64)
	} else if coding := environ["HTTP_TRANSFER_ENCODING"]; coding != "" {
		request.ContentLength, request.TransferEncoding = -1, []string{coding}
	}
	if request.ContentLength != 0 {
		request.Body = body{environ.Input()}
	}
	return request
}

// The body of a request. It needs no closing; what is over is dead.
type body struct{ *wasgi.Input }

func (body) Close() error { return nil }

const piece = 32 << 10

// Fields that are the server's.
var own = []string{"Connection", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade"}

type response struct {
	header   http.Header
	environ  wasgi.Environ
	start    wasgi.StartResponse
	status   int
	head     http.Header
	started  bool
	buffered []byte
	err      error
}

func (response *response) Header() http.Header { return response.header }

// WriteHeader notes the head as it is now; the first bytes decide about the Content-Type. Informational responses are not the head.
func (response *response) WriteHeader(status int) {
	if response.status == 0 && status >= 200 {
		response.status, response.head = status, response.header.Clone()
	}
}

// Calls start_response, with what net/http would send.
func (response *response) begin() {
	if response.started {
		return
	}
	response.started = true
	response.WriteHeader(http.StatusOK)
	_, typed := response.head["Content-Type"]
	if !typed && response.head.Get("Content-Encoding") == "" && len(response.buffered) > 0 {
		response.head.Set("Content-Type", http.DetectContentType(response.buffered))
	}
	var headers wasgi.Headers
	for _, name := range slices.Sorted(maps.Keys(response.head)) {
		if strings.HasPrefix(name, http.TrailerPrefix) || slices.Contains(own, name) {
			continue
		}
		for _, value := range response.head[name] {
			headers.Add(name, strings.NewReplacer("\r", " ", "\n", " ").Replace(value))
		}
	}
	reason := http.StatusText(response.status)
	if reason == "" {
		reason = "Status"
	}
	response.err = response.start(strconv.Itoa(response.status)+" "+reason, headers)
}

func (response *response) Write(data []byte) (int, error) {
	response.WriteHeader(http.StatusOK)
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
	response.begin()
	if response.err == nil && len(response.buffered) > 0 {
		_, response.err = response.environ.Write(response.buffered)
		response.buffered = response.buffered[:0]
	}
	return response.err
}

// What is still to be sent.
func (response *response) rest() (wasgi.Body, error) {
	response.begin()
	// Who has gone needs no answer, and that is no error of the application.
	if errors.Is(response.err, wasgi.ErrDisconnected) {
		return wasgi.Bytes(), nil
	}
	return wasgi.Bytes(response.buffered), response.err
}
