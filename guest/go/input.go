package wasgi

import (
	"bytes"
	"errors"
	"io"
)

// Why the request's body cannot be read on. None of them is its end: that is io.EOF.
var (
	ErrDisconnected = errors.New("the client disconnected")
	ErrMalformed    = errors.New("the request's body is malformed")
	ErrTooLarge     = errors.New("the request's body is larger than the limit")
	ErrTimedOut     = errors.New("the request's body did not arrive in time")
	// ErrOver: what is read, or written to, belongs to a request that is over.
	ErrOver = errors.New("the request is over")
)

var inputErrors = [...]error{ErrDisconnected, ErrMalformed, ErrTooLarge, ErrTimedOut}

// Input is wsgi.input (PEP 3333, "Input and Error Streams"): the body of the request, decoded. Nothing is fetched from the client before
// it is read. It is an io.Reader, and an io.WriterTo.
type Input struct {
	piece    []byte
	exchange *exchange
}

// Makes sure that there is something, or says why not.
func (input *Input) fill() (err error) {
	if input.exchange == nil || input.exchange.over {
		return ErrOver
	}
	if len(input.piece) == 0 {
		input.piece, err = read()
	}
	return err
}

// Read waits for at least one byte.
func (input *Input) Read(into []byte) (int, error) {
	if len(into) == 0 {
		return 0, nil
	}
	if err := input.fill(); err != nil {
		return 0, err
	}
	length := copy(into, input.piece)
	input.piece = input.piece[length:]
	return length, nil
}

// ReadLine reads up to and with the next line feed. At the end of the body it returns what there is, and then io.EOF.
func (input *Input) ReadLine() (line []byte, err error) {
	for {
		if err := input.fill(); err != nil {
			if err == io.EOF && len(line) > 0 {
				return line, nil
			}
			return line, err
		}
		feed := bytes.IndexByte(input.piece, '\n') + 1
		if feed > 0 {
			line = append(line, input.piece[:feed]...)
			input.piece = input.piece[feed:]
			return line, nil
		}
		line = append(line, input.piece...)
		input.piece = nil
	}
}

// WriteTo hands on the rest.
func (input *Input) WriteTo(to io.Writer) (written int64, err error) {
	for {
		if err := input.fill(); err != nil {
			if err == io.EOF {
				return written, nil
			}
			return written, err
		}
		length, err := to.Write(input.piece)
		written += int64(length)
		input.piece = input.piece[length:]
		if err != nil {
			return written, err
		}
	}
}
