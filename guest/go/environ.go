package wasgi

import (
	"net/url"
	"path"
	"reflect"
	"strings"
)

// Environ is the environ of one request (PEP 3333, "environ Variables"). It is the application's to change.
type Environ map[string]string

// Input is wsgi.input: the body of the request. When the response is over it is dead, for who has kept it.
func (environ Environ) Input() *Input { return environ.exchange().input }

// Write is write() (PEP 3333, "The write() Callable"), for code that cannot return its body. Any length; it goes out in chunks.
func (environ Environ) Write(data []byte) (written int, err error) {
	for {
		piece := data[:min(len(data), most)]
		if err := environ.exchange().write(piece); err != nil {
			return written, err
		}
		written += len(piece)
		data = data[len(piece):]
		if len(data) == 0 {
			return written, nil
		}
	}
}

// EarlyHints is 103 Early Hints (RFC 8297): advice that the host may keep to itself.
func (environ Environ) EarlyHints(headers Headers) error {
	return environ.exchange().earlyHints(headers)
}

// The exchange that an environ belongs to, which is over when it is not the current one.
func (environ Environ) exchange() *exchange {
	if current != nil && reflect.ValueOf(environ).Pointer() == reflect.ValueOf(current.environ).Pointer() {
		return current
	}
	return &exchange{over: true, input: &Input{}}
}

// Scheme is "http" or "https".
func (environ Environ) Scheme() string {
	if scheme := environ["wsgi.url_scheme"]; scheme != "" {
		return scheme
	}
	return "http"
}

// ApplicationURI is the application's own address (PEP 3333, "URL Reconstruction"), as wsgiref.util.application_uri.
func (environ Environ) ApplicationURI() string {
	scheme := environ.Scheme()
	host := environ["HTTP_HOST"]
	if host == "" {
		host = environ["SERVER_NAME"]
		if port := environ["SERVER_PORT"]; port != map[string]string{"http": "80", "https": "443"}[scheme] {
			host += ":" + port
		}
	}
	mount := environ["SCRIPT_NAME"]
	if mount == "" {
		mount = "/"
	}
	return scheme + "://" + host + quoted(mount, "/")
}

// RequestURI is the address of the request, as wsgiref.util.request_uri.
func (environ Environ) RequestURI() string {
	path := quoted(environ["PATH_INFO"], "/;=,")
	if environ["SCRIPT_NAME"] == "" {
		path = strings.TrimPrefix(path, "/")
	}
	uri := environ.ApplicationURI() + path
	if query := environ["QUERY_STRING"]; query != "" {
		uri += "?" + query
	}
	return uri
}

// ShiftPathInfo moves the first segment of PATH_INFO to SCRIPT_NAME, as wsgiref.util.shift_path_info; false: there is none.
func (environ Environ) ShiftPathInfo() (string, bool) {
	parts := strings.Split(environ["PATH_INFO"], "/")
	if len(parts) < 2 {
		return "", false
	}
	// Empty segments and dots count for nothing, but for the last.
	kept := parts[:1]
	for at, part := range parts[1:] {
		if at == len(parts)-2 || part != "" && part != "." {
			kept = append(kept, part)
		}
	}
	name := kept[1]
	mount := strings.TrimSuffix(path.Clean("/"+environ["SCRIPT_NAME"]+"/"+name), "/")
	if name == "" {
		mount += "/"
	}
	environ["SCRIPT_NAME"] = mount
	environ["PATH_INFO"] = strings.Join(append(kept[:1:1], kept[2:]...), "/")
	return name, name != "."
}

// As Python's urllib.parse.quote.
func quoted(text, safe string) string {
	var quoted strings.Builder
	for _, char := range []byte(text) {
		if strings.IndexByte(safe, char) >= 0 {
			quoted.WriteByte(char)
		} else {
			quoted.WriteString(strings.ReplaceAll(url.QueryEscape(string([]byte{char})), "+", "%20"))
		}
	}
	return quoted.String()
}
