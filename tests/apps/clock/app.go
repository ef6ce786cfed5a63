// Package clock tells the time, and time that passes.
package clock

import (
	"fmt"
	"time"

	"wasgi"
)

func Application(environ wasgi.Environ, startResponse wasgi.StartResponse) (wasgi.Body, error) {
	started := time.Now()
	time.Sleep(5 * time.Millisecond)
	return wasgi.Text(fmt.Sprint(time.Now().Unix(), " ", time.Since(started) >= 5*time.Millisecond)), startResponse("200 OK", nil)
}
