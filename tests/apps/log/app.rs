//! Lines for the tenant's log.

use std::io::Write;

use wasgi_guest::{Body, Environ, Errors, StartResponse};

pub fn application(_: Environ, start_response: StartResponse) -> wasgi_guest::Result {
    write!(Errors, "first line\nsecond \u{17e}lu\u{165} line\nwithout an end")?;
    start_response("200 OK", &[])?;
    Ok(Body::from("logged"))
}
