//! All behaviours in one component: the first segment of the path names one.

use wasgi_guest::{Body, Environ, StartResponse};

#[path = "../../badtext/app.rs"]
mod badtext;
#[path = "../../clock/app.rs"]
mod clock;
#[path = "../../counter/app.rs"]
mod counter;
#[path = "../../disconnect/app.rs"]
mod disconnect;
#[path = "../../echo/app.rs"]
mod echo;
#[path = "../../empties/app.rs"]
mod empties;
#[path = "../../environ/app.rs"]
mod environ;
#[path = "../../generator/app.rs"]
mod generator;
#[path = "../../headers/app.rs"]
mod headers;
#[path = "../../late/app.rs"]
mod late;
#[path = "../../lazy/app.rs"]
mod lazy;
#[path = "../../log/app.rs"]
mod log;
#[path = "../../memory/app.rs"]
mod memory;
#[path = "../../nothing/app.rs"]
mod nothing;
#[path = "../../oversize/app.rs"]
mod oversize;
#[path = "../../raising/app.rs"]
mod raising;
#[path = "../../reading/app.rs"]
mod reading;
#[path = "../../replaced/app.rs"]
mod replaced;
#[path = "../../single/app.rs"]
mod single;
#[path = "../../stale/app.rs"]
mod stale;
#[path = "../../toolong/app.rs"]
mod toolong;
#[path = "../../tooshort/app.rs"]
mod tooshort;
#[path = "../../trap/app.rs"]
mod trap;
#[path = "../../twice/app.rs"]
mod twice;
#[path = "../../unicode/app.rs"]
mod unicode;
#[path = "../../upload/app.rs"]
mod upload;
#[path = "../../writing/app.rs"]
mod writing;

wasgi_guest::export!(application);

fn application(mut environ: Environ, start_response: StartResponse) -> wasgi_guest::Result {
    match environ.shift_path_info().as_deref() {
        Some("clock") => clock::application(environ, start_response),
        Some("counter") => counter::application(environ, start_response),
        Some("disconnect") => disconnect::application(environ, start_response),
        Some("echo") => echo::application(environ, start_response),
        Some("empties") => empties::application(environ, start_response),
        Some("environ") => environ::application(environ, start_response),
        Some("generator") => generator::application(environ, start_response),
        Some("headers") => headers::application(environ, start_response),
        Some("late") => late::application(environ, start_response),
        Some("lazy") => lazy::application(environ, start_response),
        Some("log") => log::application(environ, start_response),
        Some("memory") => memory::application(environ, start_response),
        Some("nothing") => nothing::application(environ, start_response),
        Some("badtext") => badtext::application(environ, start_response),
        Some("oversize") => oversize::application(environ, start_response),
        Some("stale") => stale::application(environ, start_response),
        Some("raising") => raising::application(environ, start_response),
        Some("reading") => reading::application(environ, start_response),
        Some("replaced") => replaced::application(environ, start_response),
        Some("single") => single::application(environ, start_response),
        Some("toolong") => toolong::application(environ, start_response),
        Some("tooshort") => tooshort::application(environ, start_response),
        Some("trap") => trap::application(environ, start_response),
        Some("twice") => twice::application(environ, start_response),
        Some("unicode") => unicode::application(environ, start_response),
        Some("upload") => upload::application(environ, start_response),
        Some("writing") => writing::application(environ, start_response),
        _ => {
            start_response("404 Not Found", &[])?;
            Ok(Body::from("no such behaviour"))
        }
    }
}
