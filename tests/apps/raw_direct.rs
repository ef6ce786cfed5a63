//! A guest that speaks `direct` itself (`wit/python.wit`), and keeps its rules or breaks them: the query says which.

wit_bindgen::generate!({
    inline: "
        package tests:direct;
        world raw {
            include wasgi:gateway/app@0.1.0;
            import wasgi:gateway/latin1@0.1.0;
            include wasgi:gateway/callable@0.1.0;
        }
    ",
    path: "../../wit",
    world: "tests:direct/raw",
    generate_all,
});

use exports::wasgi::gateway::{
    application::{self, Iterable},
    direct,
};
use wasgi::gateway::{
    latin1::{chunk, whole},
    response::start_response,
    types::{ExcInfo, Pair},
};

struct Raw;

/// A host that knows `direct` calls nothing of `application`.
struct Unused;

impl application::GuestBody for Unused {
    fn next(&self) -> Result<Option<Vec<u8>>, ExcInfo> {
        unreachable!()
    }

    fn close(&self) -> Result<(), ExcInfo> {
        unreachable!()
    }
}

impl application::Guest for Raw {
    type Body = Unused;

    fn call(_: Vec<Pair>) -> Result<Iterable, ExcInfo> {
        unreachable!()
    }
}

fn raised(message: &str) -> ExcInfo {
    ExcInfo { kind: "Raised".to_owned(), message: message.to_owned(), traceback: String::new() }
}

impl direct::Guest for Raw {
    fn call(environ: String) -> Result<bool, ExcInfo> {
        let parts: Vec<_> = environ.split('\u{100}').collect();
        let query = parts.chunks(2).find(|pair| pair[0] == "QUERY_STRING").map_or("", |pair| pair[1]);
        let start = |fields: &[(String, String)]| start_response("200 OK", fields, None).unwrap();
        let length = |bytes: usize| [("Content-Length".to_owned(), bytes.to_string())];
        match query {
            "unstarted" => whole("text"),
            "nothing" => {}
            "twice" => {
                start(&[]);
                whole("once");
                whole("again");
            }
            "goes-on" => {
                start(&[]);
                whole("once");
                return Ok(false);
            }
            "late" => {
                start(&[]);
                whole("whole\n");
                return Err(raised("close failed"));
            }
            "wide" => {
                start(&[]);
                whole("\u{100}");
            }
            "short" => {
                start(&length(10));
                whole("short");
            }
            "long" => {
                start(&length(5));
                whole("longer than that");
            }
            "chunks" => {
                start(&[]);
                return Ok(false);
            }
            size => {
                start(&[]);
                whole(&"\u{e9}".repeat(size.parse().unwrap_or(0)));
            }
        }
        Ok(true)
    }

    fn next() -> Result<bool, ExcInfo> {
        static PASSED: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let number = PASSED.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        if number < 3 {
            chunk(&format!("chunk {number}\n"));
        }
        Ok(number < 3)
    }

    fn close() -> Result<(), ExcInfo> {
        Ok(())
    }
}

export!(Raw);
