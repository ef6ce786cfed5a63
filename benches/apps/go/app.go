// The row in Go, by net/http.
package main

import (
	"io"
	"net/http"

	"wasgi"
	"wasgi/nethttp"
)

func init() {
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(response http.ResponseWriter, request *http.Request) {
		response.Header().Set("Content-Type", "text/plain")
		io.WriteString(response, "Hello, world!")
	})
	wasgi.Handle(nethttp.Application(mux))
}

func main() {}
