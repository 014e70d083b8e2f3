//! One connection through the [`Proxy`](crate::harness::Proxy): a thread for each direction.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use rustix::process::{Signal, kill_process};

use crate::harness::proxy::{Crash, Shared};
use crate::harness::resp::{Frames, Garbled, is_push};
use crate::harness::wait::{PATIENCE, eventually, within};

/// The two sides of a connection and its progress.
pub struct Link {
    id: usize,
    client: UnixStream,
    server: UnixStream,
    progress: Mutex<Progress>,
    /// Whether bytes in both directions are discarded from now on.
    mute: AtomicBool,
}

#[derive(Default)]
struct Progress {
    /// Commands sent to the server.
    sent: u64,
    /// Replies received from the server.
    answered: u64,
    /// Replies sent to the client.
    delivered: u64,
    /// The reply that must not arrive: its client is killed instead.
    last: Option<u64>,
    /// Whether the client is not killed, but loses its connection.
    spared: bool,
    /// Whether a reply was discarded.
    lost: bool,
}

/// Why a direction of a connection ended.
enum End {
    /// One side has closed, so the other must close.
    Closed,
    /// No more commands are forwarded, but a reply is expected.
    LastCommandSent,
    /// The bytes are not valid RESP.
    Garbled(Garbled),
}

impl From<io::Error> for End {
    fn from(_: io::Error) -> Self {
        Self::Closed
    }
}

impl From<Garbled> for End {
    fn from(garbled: Garbled) -> Self {
        Self::Garbled(garbled)
    }
}

impl Link {
    /// Not moving yet: see [`carry`].
    pub fn new(id: usize, client: UnixStream, server: UnixStream) -> Self {
        let progress = Mutex::default();
        Self {
            id,
            client,
            server,
            progress,
            mute: AtomicBool::new(false),
        }
    }

    /// Closes both sides.
    pub fn close(&self) {
        let _ = self.client.shutdown(Shutdown::Both);
        let _ = self.server.shutdown(Shutdown::Both);
    }

    /// Discards all bytes from both sides from now on, without closing the connection.
    pub fn silence(&self) {
        self.mute.store(true, SeqCst);
    }

    /// Whether a reply was discarded, so that the next would answer the wrong command.
    pub fn has_lost(&self) -> bool {
        self.progress().lost
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress
            .lock()
            .unwrap_or_else(|broken| broken.into_inner())
    }

    /// Forwards commands from the client to the server.
    fn commands(&self, shared: &Shared) -> Result<(), End> {
        let mut frames = Frames::default();
        let mut chunk = vec![0; 64 * 1024];
        loop {
            let length = read(&self.client, &mut chunk)?;
            if self.mute.load(SeqCst) {
                continue;
            }
            self.count_round_trip(shared, frames.is_empty());
            let delay = shared.control().delay;
            std::thread::sleep(delay);
            shared.hold();
            frames.feed(&chunk[..length]);
            let mut ready = Vec::new();
            while let Some(frame) = frames.next()? {
                match shared.arrived(self.id, &frame)? {
                    None => {
                        self.progress().sent += 1;
                        ready.extend(frame);
                    }
                    Some(Crash::Before) => {
                        (&self.server).write_all(&ready)?;
                        self.wait_for_replies();
                        self.kill_client(shared);
                        return Err(End::Closed);
                    }
                    Some(crash @ (Crash::After | Crash::ReplyLost)) => {
                        let mut progress = self.progress();
                        progress.sent += 1;
                        progress.last = Some(progress.sent);
                        progress.spared = crash == Crash::ReplyLost;
                        drop(progress);
                        ready.extend(frame);
                        (&self.server).write_all(&ready)?;
                        return Err(End::LastCommandSent);
                    }
                }
            }
            (&self.server).write_all(&ready)?;
        }
    }

    /// Forwards replies from the server to the client.
    fn replies(&self, shared: &Shared) -> Result<(), End> {
        let mut frames = Frames::default();
        let mut chunk = vec![0; 64 * 1024];
        loop {
            let length = read(&self.server, &mut chunk)?;
            if self.mute.load(SeqCst) {
                continue;
            }
            frames.feed(&chunk[..length]);
            let mut ready = Vec::new();
            let mut replies = 0;
            while let Some(frame) = frames.next()? {
                let swallow = shared.control().swallow;
                let mut progress = self.progress();
                progress.answered += u64::from(!is_push(&frame));
                let answered = progress.answered;
                if progress.last == Some(answered) {
                    let spared = progress.spared;
                    drop(progress);
                    if !spared {
                        self.kill_client(shared);
                    }
                    return Err(End::Closed);
                }
                if swallow {
                    progress.lost = true;
                } else {
                    replies += u64::from(!is_push(&frame));
                    ready.extend(frame);
                }
            }
            shared.hold();
            // Before the client can send its next command.
            self.progress().delivered += replies;
            (&self.client).write_all(&ready)?;
        }
    }

    fn count_round_trip(&self, shared: &Shared, starts_a_command: bool) {
        let progress = self.progress();
        if starts_a_command && progress.delivered == progress.sent {
            *shared.control().round_trips.entry(self.id).or_default() += 1;
        }
    }

    /// Kills the client process and waits for its end, so that nothing holds its socket.
    fn kill_client(&self, shared: &Shared) {
        let peer = rustix::net::sockopt::socket_peercred(&self.client);
        let pid = peer.expect("the client of a Unix socket").pid;
        // Counted first: a test that sees the process dead may ask for the count immediately.
        shared.control().killed += 1;
        let _ = kill_process(pid, Signal::KILL);
        eventually(PATIENCE, "a killed client ends", || {
            let rest = (&self.client).read(&mut [0; 4096]);
            matches!(rest, Ok(0) | Err(_)).then_some(())
        });
    }

    /// Waits until the server has answered every command, with a bound: a command may block.
    fn wait_for_replies(&self) {
        within(Duration::from_secs(1), || {
            let progress = self.progress();
            (progress.answered == progress.sent).then_some(())
        });
    }

    fn end(&self, shared: &Shared, end: End) {
        if let End::Garbled(garbled) = end {
            shared.control().garbled = Some(garbled);
        } else if let End::LastCommandSent = end {
            return;
        }
        self.close();
        shared.control().links.remove(&self.id);
    }
}

/// Forwards the bytes of a connection until it ends.
pub(crate) fn carry(shared: &Arc<Shared>, link: &Arc<Link>) {
    type Direction = fn(&Link, &Shared) -> Result<(), End>;
    let directions: [Direction; 2] = [Link::commands, Link::replies];
    for direction in directions {
        let (shared, link) = (Arc::clone(shared), Arc::clone(link));
        std::thread::spawn(move || {
            if let Err(end) = direction(&link, &shared) {
                link.end(&shared, end);
            }
        });
    }
}

fn read(mut stream: &UnixStream, chunk: &mut [u8]) -> Result<usize, End> {
    match stream.read(chunk)? {
        0 => Err(End::Closed),
        length => Ok(length),
    }
}
