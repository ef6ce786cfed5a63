/* Less than its Content-Length. */
#include "wasgi.h"

wasgi_body tooshort_application(wasgi_environ *environ, wasgi_start_response *start_response) {
    (void)environ;
    wasgi_header headers[] = {{"Content-Length", "10"}};
    if (start_response("200 OK", headers, 1)) return wasgi_reraise();
    return wasgi_text("hello");
}
