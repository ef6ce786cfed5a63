//! Less than its Content-Length.

use wasgi_guest::{Body, Environ, StartResponse};

pub fn application(_: Environ, start_response: StartResponse) -> wasgi_guest::Result {
    start_response("200 OK", &[("Content-Length", "10")])?;
    Ok(Body::from("hello"))
}
