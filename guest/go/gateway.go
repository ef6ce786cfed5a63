package wasgi

import (
	"io"
	"math"
	"runtime/debug"
	"unsafe"
)

// The canonical ABI of the WIT package wasgi:gateway@0.1.0, spelled out (component-model, "CanonicalABI").
//
// While the host puts something into the guest's memory, in cabi_realloc, a guest may call nothing. Go would: its collector and its allocator
// ask for the time, and the collector lets other goroutines run. So the collector runs only while the application does, and rests whenever
// the host may ask for memory; and for as long, the adapter's clock stands still.

// What the application has set, while the collector rests.
var (
	percent       = 100
	limit   int64 = math.MaxInt64
)

// Lets the collector run until the result is called.
func collecting() (end func()) {
	running()
	return resting
}

func running() {
	debug.SetGCPercent(percent)
	if limit != math.MaxInt64 {
		debug.SetMemoryLimit(limit)
	}
}

// Waits for the end of a collection that has begun.
func resting() {
	if old := debug.SetGCPercent(-1); old >= 0 {
		percent = old
	}
	if limit = debug.SetMemoryLimit(-1); limit != math.MaxInt64 {
		debug.SetMemoryLimit(math.MaxInt64)
	}
}

// For a call into the host that answers with something: the collector rests in it.
func hosted(call func()) {
	resting()
	call()
	running()
}

// Until the first request has begun, memory is not the heap's: the adapter of WASI's first preview asks for some while the runtime starts,
// when there is no heap; and the first environ comes while the collector may still run, as it does in init functions. A request's head has
// some 100 KiB at most, unless the operator allows more.
var (
	started bool
	early   [2 << 20]byte
	taken   uint32
)

func reallocEarly(align, size uint32) unsafe.Pointer {
	address := uint32(uintptr(unsafe.Pointer(&early))) + taken
	taken += (align-address%align)%align + size
	if taken > uint32(len(early)) {
		panic("too much is asked for before the start")
	}
	return unsafe.Pointer(uintptr(unsafe.Pointer(&early)) + uintptr(taken-size))
}

// From wasmtime's adapter, which makes a component of what Go compiles.
//
//go:wasmimport wasi_snapshot_preview1 adapter_monotonic_clock_set_paused
func pauseClock(paused uint32)

//go:wasmexport cabi_realloc
func realloc(old unsafe.Pointer, oldSize, align, size uint32) unsafe.Pointer {
	if size == 0 {
		return unsafe.Pointer(uintptr(align))
	}
	if !started {
		return reallocEarly(align, size)
	}
	pauseClock(1)
	defer pauseClock(0)
	// Words, so that it is aligned. Its owner is found by who is handed the address, before the collector runs again.
	memory := unsafe.Pointer(unsafe.SliceData(make([]uint64, (size+7)/8)))
	copy(unsafe.Slice((*byte)(memory), size), unsafe.Slice((*byte)(old), oldSize))
	return memory
}

// string and list<u8>, as they lie in memory: addresses have 32 bits there, and Go's pointers 64.
type list struct{ data, length uint32 }

type pair struct{ name, value list }

func address(pointer unsafe.Pointer) uint32 { return uint32(uintptr(pointer)) }

// What the host was told to read lives until the next request: the collector does not see addresses.
var lent []string

func lend(text string) list {
	lent = append(lent, text)
	return list{address(unsafe.Pointer(unsafe.StringData(text))), uint32(len(text))}
}

func (list list) text() string { return string(list.bytes()) }

func (list list) bytes() []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(uintptr(list.data))), list.length)
}

// A native string's bytes; it has only U+0000 to U+00FF.
func (list list) native() string {
	text := list.text()
	for at := 0; at < len(text); at++ {
		if text[at] >= 0x80 {
			bytes := make([]byte, 0, len(text))
			for _, char := range text {
				bytes = append(bytes, byte(char))
			}
			return string(bytes)
		}
	}
	return text
}

// Bytes as a native string.
func native(bytes string) string {
	for at := 0; at < len(bytes); at++ {
		if bytes[at] >= 0x80 {
			chars := make([]rune, len(bytes))
			for at := range chars {
				chars[at] = rune(bytes[at])
			}
			return string(chars)
		}
	}
	return bytes
}

func pairs(headers Headers) []pair {
	pairs := make([]pair, len(headers))
	for at, header := range headers {
		pairs[at] = pair{lend(native(header.Name)), lend(native(header.Value))}
	}
	return pairs
}

// ---- what the host offers

//go:wasmimport wasgi:gateway/input@0.1.0 read
func hostRead(max uint32, result unsafe.Pointer)

//go:wasmimport wasgi:gateway/errors@0.1.0 write
func hostWriteError(text unsafe.Pointer, length uint32)

//go:wasmimport wasgi:gateway/response@0.1.0 start-response
func hostStartResponse(status, statusLength uint32, headers unsafe.Pointer, count, hasExcInfo, kind, kindLength, message, messageLength,
	traceback, tracebackLength uint32, result unsafe.Pointer)

//go:wasmimport wasgi:gateway/response@0.1.0 early-hints
func hostEarlyHints(headers unsafe.Pointer, count uint32, result unsafe.Pointer)

//go:wasmimport wasgi:gateway/response@0.1.0 write
func hostWrite(data unsafe.Pointer, length uint32, result unsafe.Pointer)

//go:wasmimport [export]wasgi:gateway/application@0.1.0 [resource-new]body
func hostNewBody(representation uint32) uint32

// Where the host puts its answers: never on a stack, which moves.
var readResult struct {
	failed bool
	_      [3]byte
	value  list
}

const mostRead = 65_536

func read() (data []byte, err error) {
	hosted(func() {
		hostRead(mostRead, unsafe.Pointer(&readResult))
		if readResult.failed {
			err = inputErrors[byte(readResult.value.data)]
		} else if readResult.value.length > 0 {
			data = readResult.value.bytes()
		} else {
			err = io.EOF
		}
	})
	return data, err
}

func writeError(text string) {
	hostWriteError(unsafe.Pointer(unsafe.StringData(text)), uint32(len(text)))
}

var startResult struct {
	failed bool
	_      [3]byte
	kind   StartErrorKind
	_      [3]byte
	why    list
}

func startError() error {
	if !startResult.failed {
		return nil
	}
	err := &StartError{Kind: startResult.kind}
	switch err.Kind {
	case AlreadyStarted:
		err.Why = "start_response was called before"
	case AlreadySent:
		err.Why = "the head is already sent"
	case InvalidStatus, InvalidHeader:
		err.Why = startResult.why.text()
	}
	return err
}

func (exchange *exchange) startResponse(status string, headers Headers, cause ...error) (err error) {
	if exchange.over {
		return ErrOver
	}
	line, fields := lend(native(status)), pairs(headers)
	var kind, message, traceback list
	var hasCause uint32
	if len(cause) > 0 {
		raised := raisedBy(cause[0])
		hasCause, kind, message, traceback = 1, lend(raised.kind), lend(raised.message), lend(raised.traceback)
	}
	hosted(func() {
		hostStartResponse(line.data, line.length, unsafe.Pointer(unsafe.SliceData(fields)), uint32(len(fields)), hasCause, kind.data,
			kind.length, message.data, message.length, traceback.data, traceback.length, unsafe.Pointer(&startResult))
		err = startError()
	})
	if refused, ok := err.(*StartError); ok && refused.Kind == AlreadySent && len(cause) > 0 {
		return cause[0]
	}
	return err
}

func (exchange *exchange) earlyHints(headers Headers) (err error) {
	if exchange.over {
		return ErrOver
	}
	fields := pairs(headers)
	hosted(func() {
		hostEarlyHints(unsafe.Pointer(unsafe.SliceData(fields)), uint32(len(fields)), unsafe.Pointer(&startResult))
		err = startError()
	})
	return err
}

var writeResult struct{ failed, kind uint8 }

func (exchange *exchange) write(data []byte) error {
	if exchange.over {
		return ErrOver
	}
	hostWrite(unsafe.Pointer(unsafe.SliceData(data)), uint32(len(data)), unsafe.Pointer(&writeResult))
	if writeResult.failed != 0 {
		return writeErrors[writeResult.kind]
	}
	return nil
}

// ---- what the host calls: one request at a time

// A request and its response. What the application has kept of one that is over is dead: another client's request may be running.
type exchange struct {
	environ Environ
	input   *Input
	body    Body
	// What of the last chunk is still to be handed over.
	left []byte
	over bool
}

var current *exchange

// result<iterable, exc-info>, result<option<list<u8>>, exc-info> or result<_, exc-info>: six words at most behind the tag.
var result struct {
	tag   uint32
	words [6]uint32
}

func answer(failed *raised) unsafe.Pointer {
	result.tag = 0
	if failed != nil {
		result.tag = 1
		for at, text := range [...]string{failed.kind, failed.message, failed.traceback} {
			list := lend(text)
			result.words[2*at], result.words[2*at+1] = list.data, list.length
		}
	}
	return unsafe.Pointer(&result)
}

//go:wasmexport wasgi:gateway/application@0.1.0#call
func call(pairs unsafe.Pointer, count uint32) unsafe.Pointer {
	resting()
	started = true
	environ := make(Environ, count)
	for _, pair := range unsafe.Slice((*pair)(pairs), count) {
		environ[pair.name.native()] = pair.value.native()
	}
	exchange := &exchange{environ: environ, input: &Input{}}
	exchange.input.exchange = exchange
	current, lent = exchange, nil
	failed := guarded(func() (err error) {
		defer collecting()()
		exchange.body, err = served(environ, exchange.startResponse)
		if err == nil && exchange.body == nil {
			exchange.body = Bytes()
		}
		return err
	})
	if failed == nil {
		result.words = [6]uint32{hostNewBody(1)}
		if counted, ok := exchange.body.(counted); ok {
			result.words[1], result.words[2] = 1, uint32(counted.Chunks())
		}
	} else {
		exchange.over = true
	}
	return answer(failed)
}

//go:wasmexport wasgi:gateway/application@0.1.0#[method]body.next
func next(uint32) unsafe.Pointer {
	exchange, end := current, false
	failed := guarded(func() (err error) {
		defer collecting()()
		if len(exchange.left) > 0 {
			return nil
		}
		if exchange.left, err = exchange.body.Next(); err == io.EOF {
			end, err = len(exchange.left) == 0, nil
		}
		return err
	})
	if failed == nil {
		chunk := exchange.left[:min(len(exchange.left), most)]
		exchange.left = exchange.left[len(chunk):]
		result.words = [6]uint32{1, address(unsafe.Pointer(unsafe.SliceData(chunk))), uint32(len(chunk))}
		if end {
			result.words[0] = 0
		}
		held = chunk
	}
	return answer(failed)
}

// What the host reads behind a call lives until the next one.
var held []byte

//go:wasmexport wasgi:gateway/application@0.1.0#[method]body.close
func closeBody(uint32) unsafe.Pointer {
	exchange := current
	failed := guarded(func() error {
		defer collecting()()
		return exchange.body.Close()
	})
	exchange.over, exchange.left, held = true, nil, nil
	return answer(failed)
}

//go:wasmexport wasgi:gateway/application@0.1.0#[dtor]body
func dropBody(uint32) {}
