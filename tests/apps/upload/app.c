/* A large body, of which nothing is kept: its length, and the sum of every 64th byte. */
#include "wasgi.h"

static unsigned char piece[65536];

wasgi_body upload_application(wasgi_environ *environ, wasgi_start_response *start_response) {
    (void)environ;
    long total = 0, length;
    unsigned int sum = 0;
    while ((length = wasgi_read(piece, sizeof piece)) > 0) {
        for (long at = -total & 63; at < length; at += 64) sum += piece[at];
        total += length;
    }
    if (length < 0) return wasgi_raise("InputError", "%s", wasgi_input_error(length));
    if (start_response("200 OK", NULL, 0)) return wasgi_reraise();
    return wasgi_format("%ld %u", total, sum);
}
