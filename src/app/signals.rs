//! The signals that end the process.

use std::{io, time::Duration};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::Instant as Moment,
};

/// Signals that follow each other faster are one: some supervisors, such as the command `timeout`, tell
/// the process and then its group.
const SAME_WISH: Duration = Duration::from_millis(100);

/// SIGTERM and SIGINT.
#[derive(Debug)]
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// Received and not looked at: a write beyond `RLIMIT_FSIZE` fails then, and does not end the process.
    _file_size: Signal,
}

impl Signals {
    /// From now on they do not end the process by themselves.
    pub(crate) fn new() -> io::Result<Self> {
        let terminate = signal(SignalKind::terminate())?;
        let interrupt = signal(SignalKind::interrupt())?;
        let file_size = SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw());
        Ok(Self { terminate, interrupt, _file_size: signal(file_size)? })
    }

    /// One of them.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// One of them, after another one: not the same wish told twice.
    pub(crate) async fn again(&mut self) {
        let told = Moment::now();
        loop {
            self.next().await;
            if told.elapsed() >= SAME_WISH {
                return;
            }
        }
    }
}
