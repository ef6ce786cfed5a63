//! Empty chunks send nothing.

use wasgi_guest::{Body, Environ, StartResponse};

pub fn application(_: Environ, start_response: StartResponse) -> wasgi_guest::Result {
    start_response("200 OK", &[])?;
    Ok(Body::stream(["", "", "hello", "", "!"].map(|chunk| Ok::<_, String>(chunk.into()))))
}
