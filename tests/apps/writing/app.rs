//! What is written comes before what is yielded.

use wasgi_guest::{Body, Environ, StartResponse, write};

pub fn application(_: Environ, start_response: StartResponse) -> wasgi_guest::Result {
    start_response("200 OK", &[])?;
    write(b"")?;
    write(b"written ")?;
    write(b"and ")?;
    Ok(Body::from("yielded"))
}
