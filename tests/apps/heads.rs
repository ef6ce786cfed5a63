//! What start_response is given: PEP 3333, "The start_response() Callable".

use std::io::{self, Write};

use wasgi_guest::{Body, Environ, Errors, StartError, StartResponse, early_hints, restart_response, write};

use crate::{Answer, bodies::start};

pub fn app(name: &str, argument: &str, environ: &Environ, start_response: StartResponse) -> Answer {
    Some(match name {
        "start-twice" => start_twice(start_response),
        "start-after-refused" => start_after_refused(start_response),
        "never-start" => Ok(Body::from("hello")),
        "never-start-empty" => Ok(Body::empty()),
        "exc-info-before" => exc_info_before(start_response),
        "exc-info-after" => exc_info_after(start_response),
        "status" => echoed(start_response(environ.get("HTTP_X_STATUS").unwrap_or_default(), &[])),
        "header" => echoed(start_response("200 OK", &[(environ.get("HTTP_X_NAME").unwrap_or("X-A"), &value(argument))])),
        "latin-1" => start(start_response, &[("X-A", "caf\u{e9} \u{ff}")]).map(|()| Body::empty()),
        "cookies" => start(start_response, &[("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")]).map(|()| Body::empty()),
        "reason" => start_response("200 All Is Well", &[]).map(|()| Body::empty()).map_err(Into::into),
        "many-headers" => many_headers(start_response, argument.parse().unwrap_or(0)),
        "huge-header" => echoed(start_response("200 OK", &[("X-A", &"x".repeat(argument.parse().unwrap_or(0)))])),
        "early-hints" => hinted(start_response),
        _ => return None,
    })
}

/// A head that was refused is told to the client, so that a test can see why.
fn echoed(started: Result<(), StartError>) -> wasgi_guest::Result {
    match started {
        Ok(()) => Ok(Body::from("accepted")),
        Err(error) => {
            restart_response("200 Refused", &[], &error)?;
            Ok(Body::from(error.to_string()))
        }
    }
}

/// Values that no request could carry.
fn value(name: &str) -> String {
    match name {
        "crlf" => "a\r\nX-Evil: 1".to_owned(),
        "nul" => "a\0".to_owned(),
        "euro" => "\u{20ac}".to_owned(),
        other => other.to_owned(),
    }
}

fn start_twice(start_response: StartResponse) -> wasgi_guest::Result {
    start(start_response, &[])?;
    let again = start_response("201 Created", &[]);
    assert_eq!(again, Err(StartError::AlreadyStarted));
    again?;
    Ok(Body::empty())
}

fn start_after_refused(start_response: StartResponse) -> wasgi_guest::Result {
    let _ = start_response("bad", &[]);
    start_response("200 OK", &[])?;
    Ok(Body::from("hello"))
}

fn exc_info_before(start_response: StartResponse) -> wasgi_guest::Result {
    start(start_response, &[("X-Old", "1"), ("Content-Length", "3")])?;
    restart_response("503 Try Later", &[("X-New", "2")], &io::Error::other("something broke"))?;
    Ok(Body::from("replaced"))
}

fn exc_info_after(start_response: StartResponse) -> wasgi_guest::Result {
    start(start_response, &[])?;
    write(b"sent")?;
    let error = io::Error::other("something broke");
    match restart_response("500 Oops", &[], &error) {
        Err(StartError::AlreadySent) => Err(error.into()),
        other => {
            writeln!(Errors, "unexpected: {other:?}")?;
            Ok(Body::empty())
        }
    }
}

fn many_headers(start_response: StartResponse, count: usize) -> wasgi_guest::Result {
    echoed(start_response("200 OK", &vec![("X-A", ""); count]))
}

fn hinted(start_response: StartResponse) -> wasgi_guest::Result {
    let good = early_hints(&[("Link", "</style.css>; rel=preload")]);
    let bad = early_hints(&[("Link", "a\r\nb")]);
    start(start_response, &[])?;
    Ok(Body::from(format!("{good:?} {}", bad.is_err())))
}
