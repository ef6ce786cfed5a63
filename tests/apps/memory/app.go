// Package memory takes as many MiB as the path says.
package memory

import (
	"fmt"
	"strconv"

	"wasgi"
)

var taken []byte

func Application(environ wasgi.Environ, startResponse wasgi.StartResponse) (wasgi.Body, error) {
	segment, _ := environ.ShiftPathInfo()
	mebibytes, err := strconv.Atoi(segment)
	if err != nil {
		return nil, err
	}
	taken = make([]byte, mebibytes<<20)
	for at := range taken {
		taken[at] = 1
	}
	defer func() { taken = nil }()
	return wasgi.Text(fmt.Sprint(len(taken)>>20, " MiB")), startResponse("200 OK", nil)
}
