//! Sends back what comes, while it comes.

use std::io::Read;

use wasgi_guest::{Body, Environ, StartResponse};

pub fn application(environ: Environ, start_response: StartResponse) -> wasgi_guest::Result {
    start_response("200 OK", &[])?;
    let mut input = environ.input();
    Ok(Body::stream(std::iter::from_fn(move || {
        let mut piece = vec![0; 65_536];
        match input.read(&mut piece) {
            Ok(0) => None,
            Ok(length) => {
                piece.truncate(length);
                Some(Ok(piece))
            }
            Err(error) => Some(Err(error)),
        }
    })))
}
