// Package adapter is a http.Handler.
package adapter

import (
	"fmt"
	"io"
	"net/http"

	"wasgi/nethttp"
)

// Application serves it.
var Application = nethttp.Application(http.HandlerFunc(handle))

func handle(response http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(request.Body)
	if err != nil {
		panic(err)
	}
	response.Header().Add("Set-Cookie", "a=1")
	response.Header().Add("Set-Cookie", "b=2")
	response.Header().Set("X-Seen", request.Header.Get("X-Sent")+" "+request.URL.Query().Get("q"))
	response.WriteHeader(http.StatusCreated)
	if request.URL.Path == "/adapter/stream" {
		for number := range 3 {
			fmt.Fprintf(response, "part %d\n", number)
			response.(http.Flusher).Flush()
		}
		return
	}
	fmt.Fprintf(response, "%s %s %d %s", request.Method, request.URL.Path, request.ContentLength, body)
}
