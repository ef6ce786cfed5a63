/* One chunk that is longer than what the host takes at once. */
#include <string.h>

#include "wasgi.h"

#define LENGTH (3 << 20)

wasgi_body oversize_application(wasgi_environ *environ, wasgi_start_response *start_response) {
    (void)environ;
    static char text[LENGTH];
    for (size_t at = 0; at < LENGTH; at += 16) memcpy(text + at, "0123456789abcdef", 16);
    if (start_response("200 OK", NULL, 0)) return wasgi_reraise();
    return wasgi_bytes(text, LENGTH);
}
