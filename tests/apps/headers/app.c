/* Repetitions, Latin-1, a reason of its own, and fields that are set, removed and asked for. */
#include "wasgi.h"

wasgi_body headers_application(wasgi_environ *environ, wasgi_start_response *start_response) {
    (void)environ;
    wasgi_headers headers = {NULL, 0};
    wasgi_headers_add(&headers, "Set-Cookie", "a=1");
    wasgi_headers_add(&headers, "X-A", "caf\xe9 \xff");
    wasgi_headers_add(&headers, "X-Gone", "1");
    wasgi_headers_add(&headers, "X-Set", "one");
    wasgi_headers_set(&headers, "x-set", "two");
    wasgi_headers_remove(&headers, "x-gone");
    wasgi_headers_add(&headers, "Set-Cookie", "b=2");
    wasgi_headers_format(&headers, "Content-Disposition", "attachment; filename=\"%s\"", "a \\\"b\\\".txt");
    wasgi_headers_format(&headers, "X-Seen", "%s %s", wasgi_headers_get(&headers, "set-cookie"), wasgi_headers_get(&headers, "X-SET"));
    if (start_response("299 All Is W\xfcll", headers.headers, headers.count)) return wasgi_reraise();
    return wasgi_empty();
}
