//! Text goes out as UTF-8; the path is bytes, in the body and as a native string.

use wasgi_guest::{Body, Environ, StartResponse, bytes};

pub fn application(environ: Environ, start_response: StartResponse) -> wasgi_guest::Result {
    start_response("200 OK", &[("X-Path", environ.path_info())])?;
    Ok(Body::from([&bytes(environ.path_info()), " \u{17e}lu\u{165} \u{1f40d}".as_bytes()].concat()))
}
