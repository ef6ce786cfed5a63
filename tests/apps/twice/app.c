/* start_response is called again, without exc_info. */
#include "wasgi.h"

wasgi_body twice_application(wasgi_environ *environ, wasgi_start_response *start_response) {
    (void)environ;
    if (start_response("200 OK", NULL, 0)) return wasgi_text("not reached");
    if (start_response("201 Created", NULL, 0) == WASGI_ALREADY_STARTED) return wasgi_reraise();
    return wasgi_text("not reached");
}
