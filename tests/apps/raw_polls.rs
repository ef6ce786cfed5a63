//! A guest that speaks the WIT itself, and keeps a pollable of its standard output from when it was new, as a language's library may. Under
//! `/another` it drops that for another one, which has the same number in it. With `CLOCK` in its environment it keeps one of a clock as well; with `SPEAKS` it
//! answers before anybody has asked.

use std::{cell::Cell, sync::Mutex};

use wasgi_guest::bindings::{
    exports::wasgi::gateway::application::{Body, Guest, GuestBody, Iterable},
    wasgi::gateway::{response::start_response, types::ExcInfo},
};
use wasip2::{
    cli::stdout::{OutputStream, get_stdout},
    clocks::monotonic_clock::subscribe_duration,
    io::poll::Pollable,
};

static KEPT: Mutex<Option<(Pollable, OutputStream)>> = Mutex::new(None);

fn opened() -> (Pollable, OutputStream) {
    let stream = get_stdout();
    (stream.subscribe(), stream)
}

struct Application;

struct Once(Cell<bool>);

impl Guest for Application {
    type Body = Once;

    fn call(environ: Vec<(String, String)>) -> Result<Iterable, ExcInfo> {
        let _ = start_response("200 OK", &[("Content-Length".to_owned(), "6".to_owned())], None);
        let mut kept = KEPT.lock().unwrap();
        let (pollable, stream) = kept.take().unwrap_or_else(opened);
        let path = environ.iter().find(|(name, _)| name == "PATH_INFO");
        let pollable = if path.is_some_and(|(_, path)| path == "/another") {
            let number = pollable.handle();
            drop(pollable);
            let another = stream.subscribe();
            assert_eq!(another.handle(), number);
            another
        } else {
            pollable
        };
        pollable.block();
        *kept = Some((pollable, stream));
        Ok(Iterable { body: Body::new(Once(Cell::new(true))), chunks: Some(1) })
    }
}

impl GuestBody for Once {
    fn next(&self) -> Result<Option<Vec<u8>>, ExcInfo> {
        Ok(self.0.take().then(|| b"ready\n".to_vec()))
    }

    fn close(&self) -> Result<(), ExcInfo> {
        Ok(())
    }
}

impl wasgi_guest::__private::Rewind for Application {
    fn settle() {
        if std::env::var_os("CLOCK").is_some() {
            std::mem::forget(subscribe_duration(1));
        }
        if std::env::var_os("SPEAKS").is_some() {
            let _ = start_response("200 OK", &[], None);
        }
        *KEPT.lock().unwrap() = Some(opened());
    }
}

wasgi_guest::bindings::export!(Application with_types_in wasgi_guest::bindings);
