//! start_response is called when the first chunk is asked for.

use wasgi_guest::{Body, Environ, StartResponse};

pub fn application(_: Environ, start_response: StartResponse) -> wasgi_guest::Result {
    Ok(Body::stream(std::iter::once_with(move || start_response("201 Created", &[("X-Lazy", "1")]).map(|()| b"lazy".to_vec()))))
}
