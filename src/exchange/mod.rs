//! One request's life, from its head to the end of its response: [`run`] reads from top to bottom as the way of a request.
//!
//! Knows the sandbox and the rules of environ and response; knows no HTTP library and no socket. The guest runs in a task of its own, so
//! that a client that leaves, and a host that panics, harm nothing but this one exchange.
//!
//! Next: [`crate::server`] sends the [`Answer`].

mod body;
mod buffer;
mod drain;
mod pieces;
mod tasks;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use tokio::sync::{mpsc, oneshot};

use self::drain::Drained;
pub use self::{
    body::{Aborted, ReplyBody},
    pieces::Pieces,
    tasks::Tasks,
};
use crate::{
    environ::{Environ, Head, Length, Local, Surroundings},
    fault::{BusyFault, ClientFault, Fault, GuestFault, HostFault, Outcome, Stopped},
    limits::Limits,
    response::{Asked, Reply},
    sandbox::{Answered, App, Body, Exchange, Finished, Hints, Input, InputFault, Instance, Isolation, Timeline, Wire},
    tenant::Mount,
};

/// What an application is given of an upload whose length is not declared.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
pub enum Uploads {
    /// The bytes as they come, with `wsgi.input_terminated` and without CONTENT_LENGTH (Werkzeug reads those).
    #[default]
    Streamed,
    /// The whole, with CONTENT_LENGTH: read before the application is called (Django reads only those).
    Buffered,
}

/// The client's body, whatever the connection reads it with.
pub type ClientBody = UnsyncBoxBody<Bytes, InputFault>;

/// A request, and where it came from.
pub struct Request {
    /// Method, target, version, fields, and where it comes from.
    pub head: Head,
    /// The body, unread.
    pub body: ClientBody,
    /// Our end.
    pub local: Local,
    /// The id that its log lines carry.
    pub id: String,
    /// Takes the application's early hints, until the head is there.
    pub hints: mpsc::Sender<Hints>,
}

/// The application that serves a request, and how.
#[derive(Clone)]
pub struct Route {
    /// The application.
    pub app: Arc<App>,
    /// Where it is mounted.
    pub mount: Mount,
    /// How it is given uploads without a length.
    pub uploads: Uploads,
}

/// A response: its head is final, its body still comes.
pub struct Answer {
    /// The head.
    pub reply: Reply,
    /// The body.
    pub body: ReplyBody,
}

/// How an exchange ended, told when the guest has let go of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Report {
    /// In one word.
    pub outcome: Outcome,
    /// What the guest used.
    pub used: Used,
}

/// What a guest used in an exchange.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Used {
    /// CPU time.
    pub cpu: Duration,
    /// The time until its instance was there.
    pub start: Duration,
    /// Whether that was a new one.
    pub cold: bool,
    /// Bytes of its memories and tables.
    pub memory: u64,
    /// Bytes of the request's body.
    pub bytes_in: u64,
}

/// Serves one request. `hold` is kept until the guest has let go of it; `report` is told how it went.
///
/// # Errors
/// [`Fault`] while the head is not sent; afterwards a fault shows as a body that is [`Aborted`].
pub async fn run(
    route: &Route,
    request: Request,
    hold: impl Send + 'static,
    report: impl FnOnce(Report) + Send + 'static,
    tasks: &Tasks,
) -> Result<Answer, Fault> {
    let Request { head, body, local, id, hints } = request;
    let limits = route.app.limits();
    let body = Drained::new(body, head.length(), tasks.clone());

    if matches!(head.length(), Length::Known(bytes) if bytes > limits.request_body_bytes) {
        return Err(ClientFault::TooLarge { limit: limits.request_body_bytes }.into());
    }
    let run_once = route.app.isolation() != Isolation::Reuse;
    let around = Surroundings { local, mount: &route.mount, run_once, request_id: &id };
    let mut environ = Environ::new(&head, &around)?;
    let input = match (route.uploads, head.length()) {
        (Uploads::Buffered, Length::Chunked) => {
            let (bytes, body) = buffer::whole(body, limits).await?;
            environ.set_buffered_length(bytes);
            Input::new(body, bytes)
        }
        (Uploads::Buffered | Uploads::Streamed, _) => Input::new(body, limits.request_body_bytes),
    };

    let call = Call { environ, input, asked: Asked::from(&head.parts().method), id, hints };
    answer_to(&route.app, call, hold, report, tasks).await
}

/// A request whose environ is made.
pub struct Call {
    /// The environ.
    pub environ: Environ,
    /// `wsgi.input`.
    pub input: Input,
    /// Whether a body is wanted.
    pub asked: Asked,
    /// The id that its log lines carry.
    pub id: String,
    /// Takes the application's early hints, until the head is there.
    pub hints: mpsc::Sender<Hints>,
}

/// Has `app` answer a call. As [`run`] otherwise.
///
/// # Errors
/// As [`run`].
pub async fn answer_to(
    app: &Arc<App>,
    call: Call,
    hold: impl Send + 'static,
    report: impl FnOnce(Report) + Send + 'static,
    tasks: &Tasks,
) -> Result<Answer, Fault> {
    let Call { environ, input, asked, id, hints } = call;
    let (head_sender, head_receiver) = oneshot::channel();
    let (frames, frames_receiver) = mpsc::channel(1);
    let wire = Wire { head: Some(head_sender), frames, hints };
    let timeline = Arc::new(Timeline::new(app.limits()));
    let exchange = Exchange { request_id: id, input, wire, asked, timeline };
    let app = Arc::clone(app);
    let guest = tasks.spawn(async move {
        let ended = drive(&app, environ, exchange).await;
        drop(hold);
        report(ended.report());
        ended.fault
    });

    match head_receiver.await {
        Ok(reply) => {
            let body = ReplyBody::new(frames_receiver, reply.framing);
            Ok(Answer { reply, body })
        }
        Err(_) => Err(match guest.await {
            Ok(Some(Some(fault))) => fault,
            Ok(None) => BusyFault::Stopping.into(),
            Ok(Some(None)) | Err(_) => HostFault::Panicked.into(),
        }),
    }
}

/// How the guest's part ended.
struct Ended {
    fault: Option<Fault>,
    used: Used,
}

impl Ended {
    fn report(&self) -> Report {
        Report { outcome: self.fault.as_ref().map_or(Outcome::Ok, Outcome::from), used: self.used }
    }
}

/// The guest's part: `wsgiref`'s `BaseHandler.run`.
async fn drive(app: &App, environ: Environ, exchange: Exchange) -> Ended {
    let request_id = exchange.request_id.clone();
    app.turn().await;
    let began = Instant::now();
    let mut instance = match Instance::of(app, &request_id).await {
        Ok(instance) => instance,
        Err(fault) => {
            if let Fault::Guest(guest) = &fault {
                app.log().fault(&request_id, guest);
            }
            let used = Used { start: began.elapsed(), cold: true, ..Used::default() };
            return Ended { fault: Some(fault), used };
        }
    };
    let (start, cold) = (began.elapsed(), instance.is_new());
    let answered = answer(app, &mut instance, environ, exchange).await;
    let Finished { input, bytes_in, fault, cpu, memory, memory_refused } = instance.finish(app).await;
    let fault = match answered {
        Ok(Delivered::Whole) => fault.map(Fault::from),
        Ok(Delivered::Gone) => Some(ClientFault::Gone.into()),
        Err(guest) => Some(blame(guest, input, memory_refused, app.limits())),
    };
    match &fault {
        Some(Fault::Guest(guest)) => app.log().fault(&request_id, guest),
        Some(Fault::Client(_) | Fault::Busy(_) | Fault::Host(_)) | None => {}
    }
    let memory = u64::try_from(memory).unwrap_or(u64::MAX);
    Ended { fault, used: Used { cpu, start, cold, memory, bytes_in } }
}

/// Calls the application, sends what its iterable yields, and calls `close()` exactly once (S67).
async fn answer(app: &App, instance: &mut Instance, environ: Environ, exchange: Exchange) -> Result<Delivered, GuestFault> {
    let timeline = Arc::clone(&exchange.timeline);
    let called = instance.call(app, environ, exchange).await;
    let body = match called.map_err(|fault| if timeline.is_expired() { GuestFault::Stopped(Stopped::Wall) } else { fault })? {
        Answered::Iterable(body) => body,
        Answered::Whole => return instance.end().await.map(|()| Delivered::Whole),
        Answered::Gone => return Ok(Delivered::Gone),
    };
    let sent = send(app, instance, &body, &timeline).await;
    let closed = instance.close(app, body).await;
    let delivered = sent?;
    closed.map(|()| delivered)
}

/// Whether the client took the whole response.
enum Delivered {
    Whole,
    Gone,
}

/// `wsgiref`'s `BaseHandler.finish_response`.
async fn send(app: &App, instance: &mut Instance, body: &Body, timeline: &Timeline) -> Result<Delivered, GuestFault> {
    let in_time = || if timeline.is_expired() { Err(GuestFault::Stopped(Stopped::Wall)) } else { Ok(()) };
    in_time()?;
    let mut full = false;
    if !instance.returned()? {
        return Ok(Delivered::Gone);
    }
    while !full {
        let chunk = instance.next(app, body).await;
        // What a guest does once its time is up is of no consequence.
        in_time()?;
        let Some(chunk) = chunk? else { break };
        match instance.send(chunk, body).await? {
            Some(enough) => full = enough,
            None => return Ok(Delivered::Gone),
        }
    }
    instance.end().await?;
    Ok(Delivered::Whole)
}

/// An application that raises because its client broke off is not to blame (S35); one whose client sent too much answers 413 (S37). A guest
/// that is refused memory traps where its language knows nothing better.
fn blame(fault: GuestFault, input: Option<InputFault>, memory_refused: bool, limits: &Limits) -> Fault {
    match (fault, input) {
        (GuestFault::Trap(trapped), _) if memory_refused => GuestFault::Memory(trapped).into(),
        (GuestFault::Raised(_), Some(input)) => buffer::client_fault(input, limits.request_body_bytes).into(),
        (fault, _) => fault.into(),
    }
}
