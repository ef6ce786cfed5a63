package wasgi

import (
	"os"
	"runtime"
	"syscall"
)

// Memory that a request may take without growing the instance's, which would be the end of it.
const room = 1 << 20

// Where it is while it is taken: on the heap.
var spare []byte

// What an instance is before its first request, and behind each if it is rewound (wit/rewind.wit): wasmtime's adapter opens its streams and the
// folders that it was given when they are first used, and never closes them.
//
//go:wasmexport wasgi:gateway/rewind@0.1.0#settle
func settle() {
	hosted(func() {
		spare = make([]byte, room)
		spare = nil
		runtime.GC()
		// There may be none, which is as good.
		for _, stream := range []int{1, 2} {
			_, _ = syscall.Write(stream, nil)
		}
		_, _ = syscall.Read(0, make([]byte, 1))
		_, _ = os.Stat("/")
	})
}
