//! A guest that speaks the WIT itself, and leaves a handle of its own behind in each request, which no host ever sees.

use std::cell::Cell;

use wasgi_guest::bindings::{
    exports::wasgi::gateway::application::{Body, Guest, GuestBody, Iterable},
    wasgi::gateway::{response::start_response, types::ExcInfo},
};

struct Application;

struct One(Cell<bool>);

impl Guest for Application {
    type Body = One;

    fn call(_: Vec<(String, String)>) -> Result<Iterable, ExcInfo> {
        let _ = start_response("200 OK", &[("Content-Length".to_owned(), "5".to_owned())], None);
        std::mem::forget(Body::new(One(Cell::new(false))));
        Ok(Iterable { body: Body::new(One(Cell::new(true))), chunks: None })
    }
}

impl GuestBody for One {
    fn next(&self) -> Result<Option<Vec<u8>>, ExcInfo> {
        Ok(self.0.take().then(|| b"kept\n".to_vec()))
    }

    fn close(&self) -> Result<(), ExcInfo> {
        Ok(())
    }
}

impl wasgi_guest::__private::Rewind for Application {
    /// With `TRAP` in its environment it cannot be made ready.
    fn settle() {
        assert!(std::env::var_os("TRAP").is_none());
    }
}

wasgi_guest::bindings::export!(Application with_types_in wasgi_guest::bindings);
