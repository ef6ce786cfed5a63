// Package wasgi is for WSGI applications in Go (PEP 3333).
//
//	package main
//
//	import "wasgi"
//
//	func init() { wasgi.Handle(application) }
//
//	func application(environ wasgi.Environ, startResponse wasgi.StartResponse) (wasgi.Body, error) {
//		if err := startResponse("200 OK", wasgi.Headers{{"Content-Type", "text/plain"}}); err != nil {
//			return nil, err
//		}
//		return wasgi.Text("Hello from " + environ["PATH_INFO"] + "\n"), nil
//	}
//
//	func main() {}
//
// `wasgi build` makes a component of it. The five nouns of the PEP are five files: environ, input, errors, start_response, body. A
// http.Handler is served by the package wasgi/nethttp. What the PEP calls native strings are here the bytes of the wire.
//
// One request is served at a time. Goroutines run while the application does, and rest when it has returned.
package wasgi

// Application is the callable of PEP 3333, "The Application/Framework Side". An error, or a panic, goes to the tenant's log; the client is
// answered with 500 and learns nothing.
type Application func(environ Environ, startResponse StartResponse) (Body, error)

// Handle says which application the component is. Call it from an init function: main is not run.
func Handle(application Application) { served = application }

var served Application = func(Environ, StartResponse) (Body, error) {
	panic("no application: call wasgi.Handle in an init function")
}
