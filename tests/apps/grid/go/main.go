// All behaviours in one component: the first segment of the path names one.
package main

import (
	"grid/adapter"
	"grid/badtext"
	"grid/clock"
	"grid/counter"
	"grid/disconnect"
	"grid/echo"
	"grid/empties"
	"grid/environ"
	"grid/generator"
	"grid/headers"
	"grid/late"
	"grid/lazy"
	"grid/log"
	"grid/memory"
	"grid/nothing"
	"grid/oversize"
	"grid/raising"
	"grid/reading"
	"grid/replaced"
	"grid/single"
	"grid/stale"
	"grid/toolong"
	"grid/tooshort"
	"grid/trap"
	"grid/twice"
	"grid/unicode"
	"grid/upload"
	"grid/writing"

	"wasgi"
)

var behaviours = map[string]wasgi.Application{
	"adapter":    adapter.Application,
	"clock":      clock.Application,
	"counter":    counter.Application,
	"disconnect": disconnect.Application,
	"echo":       echo.Application,
	"empties":    empties.Application,
	"environ":    environ.Application,
	"generator":  generator.Application,
	"headers":    headers.Application,
	"late":       late.Application,
	"lazy":       lazy.Application,
	"log":        log.Application,
	"memory":     memory.Application,
	"nothing":    nothing.Application,
	"badtext":    badtext.Application,
	"oversize":   oversize.Application,
	"stale":      stale.Application,
	"raising":    raising.Application,
	"reading":    reading.Application,
	"replaced":   replaced.Application,
	"single":     single.Application,
	"toolong":    toolong.Application,
	"tooshort":   tooshort.Application,
	"trap":       trap.Application,
	"twice":      twice.Application,
	"unicode":    unicode.Application,
	"upload":     upload.Application,
	"writing":    writing.Application,
}

func init() {
	wasgi.Handle(func(environ wasgi.Environ, startResponse wasgi.StartResponse) (wasgi.Body, error) {
		name, _ := environ.ShiftPathInfo()
		if behaviour, ok := behaviours[name]; ok {
			return behaviour(environ, startResponse)
		}
		return wasgi.Text("no such behaviour"), startResponse("404 Not Found", nil)
	})
}

func main() {}
