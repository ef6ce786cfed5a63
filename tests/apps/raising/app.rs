//! Raises in call, in next or in close, as the path says.

use std::io::Write;

use wasgi_guest::{Body, Environ, Errors, StartResponse};

pub fn application(mut environ: Environ, start_response: StartResponse) -> wasgi_guest::Result {
    let place = environ.shift_path_info().unwrap_or_default();
    let raised = || Err("trouble on purpose".to_owned());
    if place == "call" {
        raised()?;
    }
    start_response("200 OK", &[])?;
    let (in_next, in_close) = (place == "next", place == "close");
    let chunks = ["one ", "two"].into_iter().enumerate();
    let chunks = chunks.map(move |(at, chunk)| if at == 1 && in_next { raised().map(String::into_bytes) } else { Ok(chunk.into()) });
    Ok(Body::stream(chunks).on_close(move || {
        writeln!(Errors, "raising closed")?;
        if in_close { Ok(raised().map(drop)?) } else { Ok(()) }
    }))
}
