/* Counts the requests of its instance, and reads each one's body. */
#include <stdlib.h>

#include "wasgi.h"

static int count;

wasgi_body counter_application(wasgi_environ *environ, wasgi_start_response *start_response) {
    (void)environ;
    char *body;
    long length = wasgi_read_all(&body, 1 << 20);
    if (length < 0) return wasgi_raise("InputError", "%s", wasgi_input_error(length));
    free(body);
    if (start_response("200 OK", NULL, 0)) return wasgi_reraise();
    return wasgi_format("%05d %07ld", ++count, length);
}
