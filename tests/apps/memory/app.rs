//! Takes as many MiB as the path says.

use wasgi_guest::{Body, Environ, StartResponse};

pub fn application(mut environ: Environ, start_response: StartResponse) -> wasgi_guest::Result {
    let mebibytes: usize = environ.shift_path_info().unwrap_or_default().parse()?;
    let taken = vec![1_u8; mebibytes << 20];
    start_response("200 OK", &[])?;
    Ok(Body::from(format!("{} MiB", std::hint::black_box(&taken).len() >> 20)))
}
