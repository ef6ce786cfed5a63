// Package reading reads some bytes, a line, and what is left, line by line.
package reading

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"wasgi"
)

func Application(environ wasgi.Environ, startResponse wasgi.StartResponse) (wasgi.Body, error) {
	var told strings.Builder
	input, bytes := environ.Input(), make([]byte, 5)
	if _, err := io.ReadFull(input, bytes); err != nil {
		return nil, err
	}
	line, err := input.ReadLine()
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(&told, "read %s\nreadline %s", bytes, line)
	for lines := bufio.NewScanner(input); lines.Scan(); {
		fmt.Fprintf(&told, "line %s\n", lines.Text())
	}
	return wasgi.Text(told.String()), startResponse("200 OK", nil)
}
