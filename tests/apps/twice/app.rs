//! start_response is called again, without exc_info.

use wasgi_guest::{Body, Environ, StartResponse};

pub fn application(_: Environ, start_response: StartResponse) -> wasgi_guest::Result {
    start_response("200 OK", &[])?;
    start_response("201 Created", &[])?;
    Ok(Body::from("not reached"))
}
