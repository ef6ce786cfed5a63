package wasgi

import (
	"fmt"
	"io"
	"runtime/debug"
	"strings"
)

// Errors is wsgi.errors (PEP 3333, "Input and Error Streams"): text for the tenant's log. log.SetOutput(wasgi.Errors) sends it there.
var Errors io.Writer = errorStream{}

type errorStream struct{}

func (errorStream) Write(text []byte) (int, error) {
	writeError(valid(string(text)))
	return len(text), nil
}

// UTF-8 alone crosses the boundary.
func valid(text string) string { return strings.ToValidUTF8(text, "\uFFFD") }

// What the application raised: an error that it returned, or a panic.
type raised struct {
	kind, message, traceback string
}

func raisedBy(err error) *raised {
	return &raised{kind: fmt.Sprintf("%T", err), message: valid(err.Error())}
}

// Runs a part of the application.
func guarded(run func() error) (failed *raised) {
	defer func() {
		if value := recover(); value != nil {
			failed = &raised{kind: "panic", message: valid(fmt.Sprint(value)), traceback: valid(string(debug.Stack()))}
		}
	}()
	if err := run(); err != nil {
		return raisedBy(err)
	}
	return nil
}
