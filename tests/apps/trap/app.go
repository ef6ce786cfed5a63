// Package trap ends where it has no business to: a panic in a goroutine, which nobody can recover.
package trap

import "wasgi"

var numbers map[string]int

func deepTrouble() {
	numbers["deep"] = 1
}

func Application(environ wasgi.Environ, startResponse wasgi.StartResponse) (wasgi.Body, error) {
	ended := make(chan bool)
	go deepTrouble()
	<-ended
	return nil, nil
}
