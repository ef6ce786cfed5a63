/* One chunk: its length becomes the Content-Length. */
#include "wasgi.h"

wasgi_body single_application(wasgi_environ *environ, wasgi_start_response *start_response) {
    (void)environ;
    if (start_response("200 OK", NULL, 0)) return wasgi_reraise();
    return wasgi_text("hello");
}
