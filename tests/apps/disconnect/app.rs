//! A body that ends too early is an error, and the error stays.

use std::io::{Read, Write};

use wasgi_guest::{Body, Environ, Errors, StartResponse};

pub fn application(environ: Environ, start_response: StartResponse) -> wasgi_guest::Result {
    let mut input = environ.input();
    for _ in 0..2 {
        match input.read_to_end(&mut Vec::new()) {
            Ok(_) => writeln!(Errors, "the body looks whole")?,
            Err(error) => writeln!(Errors, "no body: {error}")?,
        }
    }
    start_response("200 OK", &[])?;
    Ok(Body::from("gone"))
}
