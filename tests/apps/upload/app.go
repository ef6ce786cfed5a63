// Package upload takes a large body, of which nothing is kept: its length, and the sum of every 64th byte.
package upload

import (
	"fmt"
	"io"

	"wasgi"
)

func Application(environ wasgi.Environ, startResponse wasgi.StartResponse) (wasgi.Body, error) {
	var length int
	var sum uint32
	piece := make([]byte, 65_536)
	for {
		read, err := environ.Input().Read(piece)
		if err == io.EOF {
			return wasgi.Text(fmt.Sprint(length, sum)), startResponse("200 OK", nil)
		}
		if err != nil {
			return nil, err
		}
		for at := -length & 63; at < read; at += 64 {
			sum += uint32(piece[at])
		}
		length += read
	}
}
