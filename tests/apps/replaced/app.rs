//! exc_info before the head is sent replaces it whole.

use wasgi_guest::{Body, Environ, StartResponse, restart_response};

pub fn application(_: Environ, start_response: StartResponse) -> wasgi_guest::Result {
    start_response("200 OK", &[("X-Old", "1")])?;
    let cause = std::io::Error::other("too early");
    restart_response("503 Try Later", &[("X-New", "2")], &cause)?;
    Ok(Body::from("replaced"))
}
