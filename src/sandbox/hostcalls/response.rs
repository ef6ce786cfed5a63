//! start_response and `write()`: the guest's side of the response's state machine, and the channel that carries it to the connection.

use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use tokio::sync::{
    mpsc::{self, error::TrySendError},
    oneshot,
};

use crate::{
    fault::GuestFault,
    response::{Asked, Ended, Finding, Head, HeadFault, Progress, Reply, StartFault, Step, Strict},
    sandbox::{
        app::{AppOptions, Strictness},
        bindings::wasgi::gateway::{response, types::ExcInfo},
        hostcalls::InputFault,
        log::raised,
        state::State,
        timeline::Timeline,
    },
};

/// One chunk, as the WIT package promises to take it.
const CHUNK_BYTES: u64 = 1 << 20;
/// Early hints that one response may have.
const HINTS: u32 = 8;

/// What goes to the connection. A sender that is dropped before `End` means that the response was aborted (S64).
#[derive(Debug)]
pub enum Frame {
    /// A piece of the body; never empty.
    Data(Bytes),
    /// The body is whole.
    End,
}

/// The connection's side of one response.
pub struct Wire {
    /// Takes the head, once.
    pub head: Option<oneshot::Sender<Reply>>,
    /// Takes the body; of capacity 1.
    pub frames: mpsc::Sender<Frame>,
    /// Takes hints, until the head is taken.
    pub hints: mpsc::Sender<Hints>,
}

/// The fields of a 103 response (RFC 8297).
pub type Hints = Vec<(HeaderName, HeaderValue)>;

/// The client has gone, or is too slow.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::sandbox) enum Undelivered {
    Gone,
    TimedOut,
}

/// How far the response of an exchange is.
pub(in crate::sandbox) struct Response {
    progress: Progress,
    asked: Asked,
    wire: Wire,
    /// `write()` was used: the number of chunks says nothing of the length then (S58).
    written: bool,
    /// A chunk that came as text, and waits for the empty one that it stands for.
    detour: Option<Bytes>,
    head_limit: u64,
    /// What became of a whole body that was handed over in one.
    whole: Option<Result<Result<(), Undelivered>, GuestFault>>,
    /// All of its declared length was handed over: its end needs no message.
    full: bool,
    /// What the body may still have.
    body_left: u64,
    body_limit: u64,
    /// A rule that the guest broke, to be told when the exchange ends.
    fault: Option<GuestFault>,
    /// How often it has given hints.
    hints: u32,
    /// What breaks a rule though the response goes out, where that is looked for.
    strict: Option<Strict>,
}

impl Response {
    pub(crate) fn new(wire: Wire, asked: Asked, options: &AppOptions) -> Self {
        let head_limit = options.limits.response_head_bytes;
        let strict = (options.strictness == Strictness::Strict).then(Strict::default);
        let body_limit = options.limits.response_body_bytes;
        Self {
            progress: Progress::Unstarted,
            asked,
            wire,
            written: false,
            detour: None,
            head_limit,
            whole: None,
            full: false,
            body_left: body_limit,
            body_limit,
            fault: None,
            hints: 0,
            strict,
        }
    }

    pub(super) fn start(
        &mut self,
        status: &str,
        fields: Vec<(String, String)>,
        exc_info: Option<&ExcInfo>,
    ) -> Result<(), response::StartError> {
        if let Some(exc) = exc_info {
            self.fault = Some(GuestFault::Raised(raised(&exc.kind, &exc.message, &exc.traceback)));
        }
        let head = Head::new(status, fields, self.head_limit);
        let (progress, result) = self.progress_mut(|progress| progress.start(head, exc_info.is_some()));
        self.progress = progress;
        if let Some(strict) = &mut self.strict {
            strict.started(status, result.as_ref().copied(), exc_info.is_some());
        }
        result.map_err(response::StartError::from)
    }

    /// Checks hints as a head's fields, and sends them if the connection is not busy with earlier ones: they are advice.
    fn early_hints(&mut self, fields: Vec<(String, String)>) -> Result<(), response::StartError> {
        if self.progress.is_sent() {
            return Err(response::StartError::AlreadySent);
        }
        let hints = Head::hints(fields, self.head_limit).map_err(|fault| response::StartError::from(StartFault::from(fault)))?;
        self.hints += 1;
        if self.hints > HINTS || self.wire.hints.try_send(hints).is_err() {
            tracing::debug!("hints were kept back");
        }
        Ok(())
    }

    fn progress_mut<T>(&mut self, transition: impl FnOnce(Progress) -> T) -> T {
        transition(std::mem::replace(&mut self.progress, Progress::Unstarted))
    }

    /// Takes the text that stands for a chunk.
    pub(super) fn detour(&mut self, text: &str) -> wasmtime::Result<()> {
        if self.detour.replace(latin1(text)?).is_some() {
            return Err(wasmtime::Error::msg("a chunk came as text before the last one was passed"));
        }
        Ok(())
    }

    /// Takes the text that stands for the whole body, and sends it: the guest closes its iterable meanwhile.
    pub(super) fn whole(&mut self, text: &str, timeline: &Timeline) -> wasmtime::Result<()> {
        self.detour(text)?;
        if self.whole.is_some() {
            return Err(wasmtime::Error::msg("a body was whole before"));
        }
        let only = !self.written;
        let step = self.chunk(Vec::new()).and_then(|chunk| self.step(chunk, only));
        self.whole = Some(step.map(|step| self.send_now(step, timeline)));
        Ok(())
    }

    /// The call came back without an iterable. False: nobody listens any more.
    pub(crate) async fn was_whole(&mut self, timeline: &Timeline) -> Result<bool, GuestFault> {
        match self.whole.take().transpose()? {
            None => Ok(true),
            Some(Err(_)) => Ok(false),
            Some(Ok(())) if self.full => Ok(true),
            // Shorter than it was declared, or of no declared length: what there is goes out before anything else is said.
            Some(Ok(())) => Ok(timeline.connection(self.wire.frames.reserve()).await.is_ok_and(|taken| taken.is_ok())),
        }
    }

    /// The call came back with an iterable, and so has not handed over the whole.
    pub(crate) fn goes_on(&self) -> bool {
        self.whole.is_none()
    }

    /// What the guest's `next` answered: a chunk, whichever way it came, or the end.
    pub(crate) fn next(&mut self, direct: Option<Vec<u8>>) -> Result<Option<Bytes>, GuestFault> {
        if let Some(strict) = &mut self.strict {
            strict.yielded(direct.is_some() || self.detour.is_some());
        }
        match direct {
            None if self.detour.is_none() => Ok(None),
            direct => self.chunk(direct.unwrap_or_default()).map(Some),
        }
    }

    /// The chunk that the guest passed, whichever way it came.
    fn chunk(&mut self, direct: Vec<u8>) -> Result<Bytes, GuestFault> {
        let chunk = match self.detour.take() {
            Some(detour) if direct.is_empty() => detour,
            Some(_) | None => direct.into(),
        };
        let found = u64::try_from(chunk.len()).unwrap_or(u64::MAX);
        if found > CHUNK_BYTES { Err(GuestFault::ChunkTooLong { found, limit: CHUNK_BYTES }) } else { Ok(chunk) }
    }

    /// Sends a chunk that the iterable yielded. `only` says that `len()` of the iterable is 1. True: iteration may stop.
    pub(crate) async fn yielded(&mut self, chunk: Bytes, only: bool, timeline: &Timeline) -> Result<Result<bool, Undelivered>, GuestFault> {
        let step = self.step(chunk, only && !self.written)?;
        let full = step.full;
        Ok(self.send(step, timeline).await.map(|()| full))
    }

    fn step(&mut self, chunk: Bytes, only: bool) -> Result<Step, GuestFault> {
        let asked = self.asked;
        match self.progress_mut(|progress| progress.chunk(chunk, asked, only)) {
            Ok((progress, step)) => {
                self.progress = progress;
                let bytes = u64::try_from(step.data.len()).unwrap_or(u64::MAX);
                self.body_left = self.body_left.checked_sub(bytes).ok_or(GuestFault::ResponseTooLong { limit: self.body_limit })?;
                if step.cut {
                    self.fault.get_or_insert(GuestFault::TooLong);
                }
                self.full = step.full;
                Ok(step)
            }
            Err(progress) => {
                self.progress = progress;
                self.strict.iter_mut().for_each(Strict::never_started);
                Err(GuestFault::NeverStarted)
            }
        }
    }

    /// Hands a step to the connection, and waits until it has taken it (S56). The last one of a declared length waits for nobody: the guest
    /// can end, and its instance serve another request, while the client reads.
    async fn send(&mut self, step: Step, timeline: &Timeline) -> Result<(), Undelivered> {
        if let Some(reply) = step.commit {
            self.commit(*reply, timeline)?;
        }
        if step.data.is_empty() {
            return Ok(());
        }
        if step.full {
            return self.hand_over(step.data, timeline);
        }
        let taken = async {
            self.wire.frames.send(Frame::Data(step.data)).await.map_err(|_| Undelivered::Gone)?;
            // A free place means that the connection took the frame. It then writes before it looks at anything else.
            self.wire.frames.reserve().await.map(drop).or(Ok(()))
        };
        timeline.connection(taken).await.unwrap_or(Err(Undelivered::TimedOut))?;
        timeline.progressed();
        Ok(())
    }

    /// Hands a step to a connection that has taken all before it.
    fn send_now(&mut self, step: Step, timeline: &Timeline) -> Result<(), Undelivered> {
        if let Some(reply) = step.commit {
            self.commit(*reply, timeline)?;
        }
        if step.data.is_empty() { Ok(()) } else { self.hand_over(step.data, timeline) }
    }

    /// Hands a chunk to a connection that has taken all before it.
    fn hand_over(&self, data: Bytes, timeline: &Timeline) -> Result<(), Undelivered> {
        // A place is free, unless a guest goes on behind a `write()` that took too long.
        self.wire.frames.try_send(Frame::Data(data)).map_err(|refused| match refused {
            TrySendError::Full(_) => Undelivered::TimedOut,
            TrySendError::Closed(_) => Undelivered::Gone,
        })?;
        timeline.progressed();
        Ok(())
    }

    fn commit(&mut self, reply: Reply, timeline: &Timeline) -> Result<(), Undelivered> {
        timeline.progressed();
        if let Some(strict) = &mut self.strict {
            strict.committed(&reply);
        }
        let head = self.wire.head.take().ok_or(Undelivered::Gone)?;
        head.send(reply).map_err(|_| Undelivered::Gone)
    }

    /// The application has returned: a head that declares an empty body need not wait (S41).
    pub(crate) fn returned(&mut self, timeline: &Timeline) -> Result<(), Undelivered> {
        let asked = self.asked;
        let (progress, commit) = self.progress_mut(|progress| progress.declared_empty(asked));
        self.progress = progress;
        commit.map_or(Ok(()), |reply| self.commit(*reply, timeline))
    }

    /// The body has ended.
    pub(crate) async fn end(&mut self, timeline: &Timeline) -> Result<(), GuestFault> {
        let asked = self.asked;
        let (progress, ended) = self.progress_mut(|progress| progress.end(asked));
        self.progress = progress;
        match ended {
            Ended::NeverStarted => {
                self.strict.iter_mut().for_each(Strict::never_started);
                return Err(GuestFault::NeverStarted);
            }
            Ended::Short(missing) => return Err(GuestFault::TooShort { missing }),
            // Whether the client still listens makes no difference any more.
            Ended::Commit(reply) => drop(self.commit(*reply, timeline)),
            Ended::Whole if self.full => return Ok(()),
            Ended::Whole => {}
        }
        let whole = self.wire.frames.send(Frame::End);
        drop(timeline.connection(whole).await);
        Ok(())
    }

    /// What is looked for, where it is.
    pub(crate) fn strict(&mut self) -> Option<&mut Strict> {
        self.strict.as_mut()
    }

    /// What the guest did wrong though the response could go on; and which rules it broke besides.
    pub(crate) fn into_fault(self, input: Option<InputFault>) -> (Option<GuestFault>, Vec<Finding>) {
        let findings = self.strict.map(|strict| strict.findings(input.map(|fault| fault.to_string())));
        (self.fault, findings.unwrap_or_default())
    }

    async fn write(&mut self, data: Vec<u8>, timeline: &Timeline) -> wasmtime::Result<Result<(), response::WriteError>> {
        let chunk = self.chunk(data)?;
        self.strict.iter_mut().for_each(Strict::wrote);
        self.written = true;
        let step = self.step(chunk, false)?;
        let cut = step.cut;
        Ok(match self.send(step, timeline).await {
            Err(Undelivered::Gone) => Err(response::WriteError::Disconnected),
            Err(Undelivered::TimedOut) => Err(response::WriteError::TimedOut),
            Ok(()) if cut => Err(response::WriteError::TooManyBytes),
            Ok(()) => Ok(()),
        })
    }
}

/// The bytes of a native string.
fn latin1(text: &str) -> wasmtime::Result<Bytes> {
    let bytes =
        if text.is_ascii() { Some(text.as_bytes().to_vec()) } else { text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect() };
    bytes.map(Bytes::from).ok_or_else(|| wasmtime::Error::msg("a chunk has a character above U+00FF"))
}

impl From<StartFault> for response::StartError {
    fn from(fault: StartFault) -> Self {
        match fault {
            StartFault::Head(HeadFault::Status(why)) => Self::InvalidStatus(why.to_owned()),
            StartFault::Head(head @ (HeadFault::Field { .. } | HeadFault::TooLarge(_))) => Self::InvalidHeader(head.to_string()),
            StartFault::AlreadyStarted => Self::AlreadyStarted,
            StartFault::AlreadySent => Self::AlreadySent,
        }
    }
}

impl response::Host for State {
    fn start_response(
        &mut self,
        status: String,
        headers: Vec<(String, String)>,
        exc_info: Option<ExcInfo>,
    ) -> wasmtime::Result<Result<(), response::StartError>> {
        match self.running()? {
            Some(current) => Ok(current.response.start(&status, headers, exc_info.as_ref())),
            None => Ok(Ok(())),
        }
    }

    async fn write(&mut self, data: Vec<u8>) -> wasmtime::Result<Result<(), response::WriteError>> {
        match self.running()? {
            Some(current) => current.response.write(data, &current.timeline).await,
            None => Ok(Ok(())),
        }
    }

    fn early_hints(&mut self, headers: Vec<(String, String)>) -> wasmtime::Result<Result<(), response::StartError>> {
        Ok(self.running()?.map_or(Ok(()), |current| current.response.early_hints(headers)))
    }
}
