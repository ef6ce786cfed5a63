//! exc_info when the head is sent: the error is raised again.

use wasgi_guest::{Body, Environ, StartResponse, restart_response};

pub fn application(_: Environ, start_response: StartResponse) -> wasgi_guest::Result {
    start_response("200 OK", &[])?;
    let late = std::iter::once_with(|| {
        let cause = std::io::Error::other("late trouble");
        match restart_response("500 Oops", &[], &cause) {
            Ok(()) => Ok(b"not reached".to_vec()),
            Err(_) => Err(cause),
        }
    });
    Ok(Body::stream(std::iter::once(Ok(b"sent".to_vec())).chain(late)))
}
