//! `wasgi cgi`: one request of a web server that runs us as a CGI program (RFC 3875), as `wsgiref.handlers.CGIHandler` answers it: the request
//! is in the environment and on standard input, the response goes to standard output, and the server does HTTP.

use std::{os::unix::ffi::OsStringExt, sync::Arc};

use http::{HeaderName, StatusCode, header};
use http_body_util::BodyExt;
use tokio::{
    io::{AsyncWriteExt, stdin, stdout},
    sync::mpsc,
};

use super::{app, args, fault::Failure};
use crate::{
    artifact::Start,
    environ::{CgiRequest, Length, ScriptName},
    exchange::{self, Answer, Call, Pieces, Tasks},
    fault::{ClientFault, Fault},
    response::{Asked, Framing, Reply},
    sandbox::{App, Input},
    telemetry,
};

pub(super) fn run(typed: &args::Cgi) -> Result<(), Failure> {
    telemetry::start(&super::log_format(None));
    let limits = app::checked(&typed.limits.0)?;
    if !typed.file.is_file() {
        return Err(Failure::usage(format!("{} is no file", typed.file.display()), "build the application first: `wasgi build`"));
    }
    let options = app::options(&typed.file, &typed.grants, &limits)?;
    let script_name = if typed.iis { ScriptName::Doubled } else { ScriptName::Plain };
    #[expect(clippy::disallowed_methods, reason = "CGI tells a request in the environment; what of it is the request's, CgiRequest knows")]
    let variables = std::env::vars_os().map(|(name, value)| (name.into_vec(), value.into_vec()));
    let id = format!("cgi-{}", std::process::id());
    let request = CgiRequest::new(variables, script_name, &id)
        .map_err(|bad| Failure::usage(bad.to_string(), "`wasgi cgi` is run by a web server; `wasgi serve` is one"))?;
    let loaded = app::load(&typed.file, options, Start::Released, &typed.common)?;
    let runtime = app::runtime()?;
    let answered = runtime.block_on(answer(&Arc::new(loaded.app), request, id));
    // A read of standard input that still waits cannot be called back.
    runtime.shutdown_background();
    answered
}

async fn answer(app: &Arc<App>, request: CgiRequest, id: String) -> Result<(), Failure> {
    let CgiRequest { environ, method, length } = request;
    let bytes = if let Length::Known(bytes) = length { bytes } else { 0 };
    let limit = app.limits().request_body_bytes;
    let tasks = Tasks::default();
    let unframed = length == Length::None && environ.value("HTTP_TRANSFER_ENCODING").is_some();
    let answered = if unframed {
        // A server that decodes chunks leaves no mark of their end (S35).
        Err(Fault::from(ClientFault::LengthRequired))
    } else if bytes > limit {
        Err(Fault::from(ClientFault::TooLarge { limit }))
    } else {
        // A CGI server passes no interim responses on: hints are kept back.
        let hints = mpsc::channel(1).0;
        let input = Input::new(Pieces::new(stdin(), bytes), limit);
        let call = Call { environ, input, asked: Asked::from(&method), id: id.clone(), hints };
        exchange::answer_to(app, call, (), |_| {}, &tasks).await
    };
    match answered {
        Ok(answer) => {
            let sent = send(answer).await;
            // close() is the application's to the end.
            tasks.wait().await;
            sent
        }
        Err(fault) => {
            if let Fault::Host(_) = &fault {
                tracing::error!(request_id = id, "{}", fault.chain());
            }
            let status = fault.status();
            let reason = status.canonical_reason().unwrap_or_default();
            let head = format!("Status: {} {reason}\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n", status.as_u16());
            let body = if method == http::Method::HEAD { String::new() } else { fault.public_text(&id) };
            write(&[head.as_bytes(), body.as_bytes()].concat()).await
        }
    }
}

async fn send(answer: Answer) -> Result<(), Failure> {
    let Answer { reply, mut body } = answer;
    write(&head(&reply)).await?;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|aborted| Failure::failed(aborted.to_string(), ""))?;
        write(frame.data_ref().map_or(&[][..], |data| data)).await?;
    }
    Ok(())
}

/// RFC 3875, section 6: the status is a field, and the connection is the server's.
fn head(reply: &Reply) -> Vec<u8> {
    let mut head = format!("Status: {} ", reply.status.code.as_u16()).into_bytes();
    head.extend_from_slice(&reply.status.reason);
    let length = match reply.framing {
        Framing::Length(length) => Some(length),
        Framing::Empty { content_length } => content_length,
        Framing::Open => None,
    };
    let length = length.map(|length| ("content-length".to_owned(), length.to_string().into_bytes()));
    let fields = reply.fields.iter().filter(|(name, _)| !steers(name, reply.status.code));
    let fields = fields.map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()));
    for (name, value) in fields.chain(length) {
        head.extend_from_slice(b"\r\n");
        head.extend_from_slice(name.as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(&value);
    }
    head.extend_from_slice(b"\r\n\r\n");
    head
}

/// A guest does not drive the web server: with a status of its own, a Location is a redirect within the server (RFC 3875, section 6.2.2), and
/// others have it send a file.
fn steers(name: &HeaderName, status: StatusCode) -> bool {
    let redirects = status.is_redirection() || status == StatusCode::CREATED;
    let sends = ["x-sendfile", "x-sendfile2", "x-lighttpd-send-file", "x-accel-redirect", "x-litespeed-location"];
    *name == header::LOCATION && !redirects || sends.contains(&name.as_str())
}

/// Writes a piece, and waits until the server has it.
async fn write(bytes: &[u8]) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::failed(format!("the web server does not listen any more: {error}"), "");
    let mut stdout = stdout();
    stdout.write_all(bytes).await.map_err(failed)?;
    stdout.flush().await.map_err(failed)
}
