//! A status that has no body.

use wasgi_guest::{Body, Environ, StartResponse};

pub fn application(_: Environ, start_response: StartResponse) -> wasgi_guest::Result {
    start_response("204 No Content", &[("X-A", "1")])?;
    Ok(Body::from("must not be sent"))
}
