//! One guest with many behaviours, good and bad: the first segment of the path names one, and each is one file of this folder.

#![allow(clippy::unnecessary_wraps, reason = "all behaviours have one signature")]

mod bodies;
mod heads;
mod hostile;
mod inputs;
mod sights;

use wasgi_guest::{Body, Environ, StartResponse};

wasgi_guest::export!(app);

fn app(environ: Environ, start_response: StartResponse) -> wasgi_guest::Result {
    let path = environ.path_info().trim_start_matches('/').to_owned();
    let (name, argument) = path.split_once('/').unwrap_or((&path, ""));
    let families = [bodies::app, heads::app, hostile::app, inputs::app, sights::app];
    for family in families {
        if let Some(answer) = family(name, argument, &environ, start_response) {
            return answer;
        }
    }
    start_response("404 Not Found", &[])?;
    Ok(Body::from("no such behaviour\n"))
}

type Answer = Option<wasgi_guest::Result>;
