package wasgi

import (
	"io"
	"iter"
)

// Body is the iterable that an application returns (PEP 3333, "Specification Details").
type Body interface {
	// Next is the next chunk, or io.EOF at the end. What is longer than 1 MiB goes out in pieces.
	Next() ([]byte, error)
	// Close is called exactly once, when the response is over, whatever ended it.
	Close() error
}

// A body that knows how many chunks it has. With 1, the chunk's length becomes the Content-Length; it has at most 1 MiB then.
type counted interface{ Chunks() int }

type chunks struct {
	chunks [][]byte
	given  int
}

func (body *chunks) Next() ([]byte, error) {
	if body.given == len(body.chunks) {
		return nil, io.EOF
	}
	body.given++
	return body.chunks[body.given-1], nil
}

func (body *chunks) Close() error { return nil }

// One that goes out in pieces has no length that the host could know.
func (body *chunks) Chunks() int {
	if len(body.chunks) == 1 && len(body.chunks[0]) > most {
		return 2
	}
	return len(body.chunks)
}

// Bytes is a body of these chunks.
func Bytes(data ...[]byte) Body { return &chunks{chunks: data} }

// Text is a body of one chunk.
func Text(text string) Body { return Bytes([]byte(text)) }

type stream struct {
	next func() ([]byte, error, bool)
	stop func()
}

// Stream is a body whose chunks are made while they are sent. What the sequence has deferred runs when the response is over.
func Stream(sequence iter.Seq2[[]byte, error]) Body {
	next, stop := iter.Pull2(sequence)
	return &stream{next, stop}
}

func (body *stream) Next() ([]byte, error) {
	chunk, err, more := body.next()
	if !more {
		return nil, io.EOF
	}
	return chunk, err
}

func (body *stream) Close() error {
	body.stop()
	return nil
}

type reader struct {
	from  io.Reader
	piece []byte
}

// Reader is a body that is read; it is closed if it can be.
func Reader(from io.Reader) Body { return &reader{from: from, piece: make([]byte, 32<<10)} }

func (body *reader) Next() ([]byte, error) {
	length, err := body.from.Read(body.piece)
	if length > 0 {
		return body.piece[:length], nil
	}
	return nil, err
}

func (body *reader) Close() error {
	if closer, ok := body.from.(io.Closer); ok {
		return closer.Close()
	}
	return nil
}
