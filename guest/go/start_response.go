package wasgi

import (
	"errors"
	"slices"
	"strings"
)

// Header is one field of a head.
type Header struct{ Name, Value string }

// Headers are the fields of a head, in their order; those of one name may repeat.
type Headers []Header

// Get is the first value of a name, without case; "" where there is none.
func (headers Headers) Get(name string) string {
	if values := headers.Values(name); len(values) > 0 {
		return values[0]
	}
	return ""
}

// Values are all values of a name.
func (headers Headers) Values(name string) (values []string) {
	for _, header := range headers {
		if strings.EqualFold(header.Name, name) {
			values = append(values, header.Value)
		}
	}
	return values
}

// Add adds a field, with parameters as `filename`, `a.txt` behind its value.
func (headers *Headers) Add(name, value string, parameters ...string) {
	escape := strings.NewReplacer(`\`, `\\`, `"`, `\"`)
	for at := 0; at+1 < len(parameters); at += 2 {
		value += "; " + parameters[at] + `="` + escape.Replace(parameters[at+1]) + `"`
	}
	*headers = append(*headers, Header{name, value})
}

// Set makes it the one field of its name.
func (headers *Headers) Set(name, value string) {
	headers.Del(name)
	headers.Add(name, value)
}

// Del removes all fields of a name.
func (headers *Headers) Del(name string) {
	*headers = slices.DeleteFunc(*headers, func(header Header) bool { return strings.EqualFold(header.Name, name) })
}

// StartResponse is start_response (PEP 3333, "The start_response() Callable"): it checks the head and stores it; nothing is sent yet.
//
// With a cause (exc_info) the stored head is replaced whole; when it is sent already, the cause is returned: return it from the application.
type StartResponse func(status string, headers Headers, cause ...error) error

// StartError is why a head was refused.
type StartError struct {
	Kind StartErrorKind
	// What is wrong, and with which field.
	Why string
}

// StartErrorKind sorts them.
type StartErrorKind uint8

const (
	// InvalidStatus: not `NNN reason` with NNN from 200 to 599.
	InvalidStatus StartErrorKind = iota
	// InvalidHeader says which, and why.
	InvalidHeader
	// AlreadyStarted: start_response was called before.
	AlreadyStarted
	// AlreadySent: the head is on the wire.
	AlreadySent
)

func (err *StartError) Error() string { return err.Why }

// Why a chunk could not be sent.
var (
	ErrTooManyBytes = errors.New("the body is longer than its Content-Length")
	ErrWriteTimeout = errors.New("the exchange is out of time")
)

var writeErrors = [...]error{ErrDisconnected, ErrTooManyBytes, ErrWriteTimeout}

// The most that the host takes at once.
const most = 1 << 20
