//! What applications do with `wsgi.input`: PEP 3333, "Input and Error Streams".

use std::io::{BufRead, Read};

use wasgi_guest::{Body, Environ, StartResponse};

use crate::{Answer, bodies::start};

pub fn app(name: &str, _: &str, environ: &Environ, start_response: StartResponse) -> Answer {
    Some(match name {
        "echo" => echo(environ, start_response),
        "count" => count(environ, start_response),
        "lines" => lines(environ, start_response),
        "first-byte" => first_byte(environ, start_response),
        "read-twice" => read_twice(environ, start_response),
        "read-error" => read_error(environ, start_response),
        _ => return None,
    })
}

/// Sends back what comes, while it comes.
fn echo(environ: &Environ, start_response: StartResponse) -> wasgi_guest::Result {
    start(start_response, &[])?;
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

/// Answers how many bytes came.
fn count(environ: &Environ, start_response: StartResponse) -> wasgi_guest::Result {
    let length = std::io::copy(&mut environ.input(), &mut std::io::sink())?;
    start(start_response, &[])?;
    let declared = environ.content_length().map_or_else(|| "none".to_owned(), |length| length.to_string());
    Ok(Body::from(format!("{length} of {declared}")))
}

fn lines(environ: &Environ, start_response: StartResponse) -> wasgi_guest::Result {
    let lines: Vec<_> = environ.input().split(b'\n').collect::<Result<_, _>>()?;
    start(start_response, &[])?;
    Ok(Body::from(lines.len().to_string()))
}

/// Answers with the first byte, and never asks for the rest.
fn first_byte(environ: &Environ, start_response: StartResponse) -> wasgi_guest::Result {
    let mut byte = [0];
    environ.input().read_exact(&mut byte)?;
    start(start_response, &[])?;
    Ok(Body::from(byte.to_vec()))
}

/// The end stays the end.
fn read_twice(environ: &Environ, start_response: StartResponse) -> wasgi_guest::Result {
    let mut input = environ.input();
    let (mut first, mut second) = (Vec::new(), Vec::new());
    input.read_to_end(&mut first)?;
    input.read_to_end(&mut second)?;
    start(start_response, &[])?;
    Ok(Body::from(format!("{} {}", first.len(), second.len())))
}

/// Survives a broken body, and says how it broke.
fn read_error(environ: &Environ, start_response: StartResponse) -> wasgi_guest::Result {
    let mut input = environ.input();
    let errors: Vec<_> = (0..2).map(|_| std::io::copy(&mut input, &mut std::io::sink()).map_err(|error| error.kind())).collect();
    crate::bodies::said(&format!("{errors:?}"))?;
    start(start_response, &[])?;
    Ok(Body::from(format!("{errors:?}")))
}
