// Package headers has repetitions, Latin-1, a reason of its own, and fields that are set, removed and asked for.
package headers

import "wasgi"

func Application(environ wasgi.Environ, startResponse wasgi.StartResponse) (wasgi.Body, error) {
	fields := wasgi.Headers{{"Set-Cookie", "a=1"}, {"X-A", "caf\xe9 \xff"}, {"X-Gone", "1"}, {"X-Set", "one"}}
	fields.Set("x-set", "two")
	fields.Del("x-gone")
	fields.Add("Set-Cookie", "b=2")
	fields.Add("Content-Disposition", "attachment", "filename", `a "b".txt`)
	fields.Add("X-Seen", fields.Get("set-cookie")+" "+fields.Get("X-SET"))
	return wasgi.Bytes(), startResponse("299 All Is W\xfcll", fields)
}
