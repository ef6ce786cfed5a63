//! Text that a client chose, in the log and in an error.

use std::io::Write;

use wasgi_guest::{Environ, Errors, StartResponse, bytes};

pub fn application(environ: Environ, _: StartResponse) -> wasgi_guest::Result {
    let path = bytes(environ.path_info());
    Errors.write_all(&[b"asked for ", &path[..], b"\n"].concat())?;
    Err(format!("no page: {}", String::from_utf8_lossy(&path)).into())
}
