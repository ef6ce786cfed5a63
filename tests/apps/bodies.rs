//! What iterables do: PEP 3333, "Specification Details".

use std::io::Write;

use wasgi_guest::{Body, Environ, Errors, StartResponse, write};

use crate::Answer;

pub fn app(name: &str, argument: &str, environ: &Environ, start_response: StartResponse) -> Answer {
    Some(match name {
        "hello" => plain(start_response, &[], ["hello\n"]).map(|_| Body::from("hello\n")),
        "two-chunks" => plain(start_response, &[], ["one ", "two"]),
        "empty-chunks" => plain(start_response, &[], ["", "", "hello", "", "!"]),
        "only-empty-chunks" => plain(start_response, &[], ["", ""]),
        "empty" => start(start_response, &[]).map(|()| Body::empty()),
        "declared" => plain(start_response, &[("Content-Length", argument)], ["hello"]),
        "declared-and-more" => plain(start_response, &[("Content-Length", argument)], ["hello", " world", " again"]),
        "declared-empty-then-slow" => declared_empty(start_response),
        "no-content" => status(start_response, "204 No Content"),
        "not-modified" => status(start_response, "304 Not Modified"),
        "reset-content" => status(start_response, "205 Reset Content"),
        "status-500" => status(start_response, "500 Internal Server Error"),
        "lazy-start" => lazy_start(start_response),
        "write" => written(start_response, argument),
        "raise-before-first" => raise_after(start_response, 0),
        "raise-after-first" => raise_after(start_response, 1),
        "raise-after-empty" => {
            start(start_response, &[]).map(|()| Body::stream([Ok(Vec::new()), Err("raised after an empty chunk".to_owned())]))
        }
        "close" => plain(start_response, &[], ["hello"]).map(|body| body.on_close(|| said("closed"))),
        "close-raises" => plain(start_response, &[], ["hello"]).map(|body| body.on_close(|| Err("close raised".into()))),
        "raise-and-close" => raise_after(start_response, 1).map(|body| body.on_close(|| said("closed"))),
        "endless" => start(start_response, &[])
            .map(|()| Body::stream(std::iter::repeat_with(|| Ok::<_, String>(vec![b'x'; 65_536]))).on_close(|| said("closed"))),
        "slow" => slow(start_response),
        "large" => large(start_response, argument.parse().unwrap_or(1)),
        "name" => start(start_response, &[("X-Name", environ.get("SERVER_NAME").unwrap_or_default())]).map(|()| Body::empty()),
        _ => return None,
    })
}

pub fn start(start_response: StartResponse, headers: &[(&str, &str)]) -> Result<(), Box<dyn std::error::Error>> {
    Ok(start_response("200 OK", headers)?)
}

pub fn said(text: &str) -> Result<(), Box<dyn std::error::Error>> {
    Ok(writeln!(Errors, "{text}")?)
}

fn plain<const N: usize>(start_response: StartResponse, headers: &[(&str, &str)], chunks: [&'static str; N]) -> wasgi_guest::Result {
    start(start_response, headers)?;
    Ok(Body::stream(chunks.map(|chunk| Ok::<_, String>(chunk.as_bytes().to_vec()))))
}

fn status(start_response: StartResponse, status: &str) -> wasgi_guest::Result {
    start_response(status, &[("X-A", "1")])?;
    Ok(Body::from("must not be sent"))
}

fn declared_empty(start_response: StartResponse) -> wasgi_guest::Result {
    start(start_response, &[("Content-Length", "0")])?;
    Ok(Body::stream(std::iter::once_with(|| {
        std::thread::sleep(std::time::Duration::from_secs(5));
        Ok::<_, String>(Vec::new())
    })))
}

fn lazy_start(start_response: StartResponse) -> wasgi_guest::Result {
    Ok(Body::stream(std::iter::once_with(move || start_response("201 Created", &[("X-Lazy", "1")]).map(|()| b"lazy".to_vec()))))
}

fn written(start_response: StartResponse, length: &str) -> wasgi_guest::Result {
    let headers = [("Content-Length", length)];
    start(start_response, if length.is_empty() { &[] } else { &headers })?;
    write(b"")?;
    write(b"written ")?;
    write(b"and ")?;
    Ok(Body::from("yielded"))
}

fn raise_after(start_response: StartResponse, chunks: usize) -> wasgi_guest::Result {
    start(start_response, &[])?;
    let good = std::iter::repeat_n(Ok(b"chunk".to_vec()), chunks);
    Ok(Body::stream(good.chain([Err("raised in the body".to_owned())])))
}

fn slow(start_response: StartResponse) -> wasgi_guest::Result {
    start(start_response, &[])?;
    Ok(Body::stream((0..3).map(|number| {
        if number > 0 {
            std::thread::sleep(std::time::Duration::from_secs(1));
        }
        Ok::<_, String>(format!("line {number}\n").into_bytes())
    })))
}

fn large(start_response: StartResponse, mebibytes: usize) -> wasgi_guest::Result {
    start(start_response, &[])?;
    Ok(Body::stream((0..mebibytes * 16).map(|_| Ok::<_, String>(vec![b'x'; 65_536]))))
}
