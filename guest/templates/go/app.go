package main

import (
	"fmt"
	"net/http"

	"wasgi"
	"wasgi/nethttp"
)

func init() {
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(response http.ResponseWriter, request *http.Request) {
		fmt.Fprintf(response, "Hello from APPNAME at %s\n", request.URL.Path)
	})
	wasgi.Handle(nethttp.Application(mux))
}

func main() {}
