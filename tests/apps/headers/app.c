/* Repetitions, Latin-1, and a reason of its own. */
#include "wasgi.h"

wasgi_body headers_application(wasgi_environ *environ, wasgi_start_response *start_response) {
    (void)environ;
    wasgi_header headers[] = {{"Set-Cookie", "a=1"}, {"X-A", "caf\xe9 \xff"}, {"Set-Cookie", "b=2"}};
    if (start_response("299 All Is W\xfcll", headers, 3)) return wasgi_reraise();
    return wasgi_empty();
}
