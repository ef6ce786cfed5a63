//! A guest that speaks the WIT itself, and so can hand over a chunk of any length, which an SDK would not: the query says how long.

use std::cell::Cell;

use wasgi_guest::bindings::{
    exports::wasgi::gateway::application::{Body, Guest, GuestBody, Iterable},
    wasgi::gateway::{response::start_response, types::ExcInfo},
};

struct Application;

struct One(Cell<Option<usize>>);

impl Guest for Application {
    type Body = One;

    fn call(environ: Vec<(String, String)>) -> Result<Iterable, ExcInfo> {
        let query = environ.iter().find(|(name, _)| name == "QUERY_STRING").map(|(_, value)| value.parse().unwrap_or(0));
        let _ = start_response("200 OK", &[], None);
        Ok(Iterable { body: Body::new(One(Cell::new(query))), chunks: None })
    }
}

impl GuestBody for One {
    fn next(&self) -> Result<Option<Vec<u8>>, ExcInfo> {
        Ok(self.0.take().map(|length| vec![b'x'; length]))
    }

    fn close(&self) -> Result<(), ExcInfo> {
        Ok(())
    }
}

impl wasgi_guest::__private::Rewind for Application {
    fn settle() {}
}

wasgi_guest::bindings::export!(Application with_types_in wasgi_guest::bindings);
