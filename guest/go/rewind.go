package wasgi

import (
	"os"
	"syscall"
)

// What an instance is before its first request, and behind each if it is rewound (wit/rewind.wit): wasmtime's adapter opens its streams and the
// folders that it was given when they are first used, and never closes them.
//
//go:wasmexport wasgi:gateway/rewind@0.1.0#settle
func settle() {
	hosted(func() {
		// There may be none, which is as good.
		for _, stream := range []int{1, 2} {
			_, _ = syscall.Write(stream, nil)
		}
		_, _ = syscall.Read(0, make([]byte, 1))
		_, _ = os.Stat("/")
	})
}
