/* What is written comes before what is yielded. */
#include "wasgi.h"

wasgi_body writing_application(wasgi_environ *environ, wasgi_start_response *start_response) {
    (void)environ;
    if (start_response("200 OK", NULL, 0)) return wasgi_reraise();
    if (wasgi_write("", 0) || wasgi_write("written ", 8) || wasgi_write("and ", 4)) return wasgi_raise("WriteError", "not written");
    return wasgi_text("yielded");
}
