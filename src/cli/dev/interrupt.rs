//! SIGINT and SIGTERM, heard by a thread of their own: what is served ends in order, and a build, which listens to nothing, is ended at once.

use std::{
    process,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};

use super::super::{app, fault::Failure};

/// What a shell says of a program that was interrupted.
const INTERRUPTED: i32 = 130;

/// Whether the person has stopped it.
pub(super) struct Interrupt {
    came: watch::Receiver<bool>,
    building: Arc<AtomicBool>,
}

impl Interrupt {
    /// Listens from now on.
    pub(super) fn listen() -> Result<Self, Failure> {
        let (told, came) = watch::channel(false);
        let building = Arc::new(AtomicBool::new(false));
        let runtime = app::runtime()?;
        let (mut interrupt, mut terminate) = {
            let _entered = runtime.enter();
            let listen = |kind| signal(kind).map_err(|error| Failure::of(&error));
            (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?)
        };
        let during_build = Arc::clone(&building);
        thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
            });
            told.send_replace(true);
            if during_build.load(Ordering::SeqCst) {
                process::exit(INTERRUPTED);
            }
        });
        Ok(Self { came, building })
    }

    /// Waits for it.
    pub(super) async fn came(&self) {
        let mut came = self.came.clone();
        // The thread that tells lives as long as the program.
        drop(came.wait_for(|came| *came).await);
    }

    /// Runs a build, which it ends.
    pub(super) fn ending<T>(&self, build: impl FnOnce() -> T) -> T {
        self.building.store(true, Ordering::SeqCst);
        // One that came just before is not waited for.
        if *self.came.borrow() {
            process::exit(INTERRUPTED);
        }
        let made = build();
        self.building.store(false, Ordering::SeqCst);
        made
    }
}
