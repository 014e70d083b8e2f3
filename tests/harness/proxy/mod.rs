//! A man in the middle between tools and a server that parses commands and replies.
//!
//! The proxy creates crash points: at the k-th command over all connections, the process that sent
//! it is killed, either before the server has seen the command, or after the server has applied it
//! and before the reply arrives. The proxy can also delay, disconnect, freeze and drop replies.
//!
//! Not supported: inline commands, `MONITOR`, and the publish and subscribe of RESP2.

pub mod link;

use std::collections::{BTreeMap, HashMap};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use crate::harness::link::{Link, carry};
use crate::harness::resp::{Garbled, words};
use crate::harness::server::{Address, Server};
use crate::harness::wait::POLL;

/// The moment at which a client dies: before or after a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// The server receives and answers every earlier command of the connection, but never this
    /// one.
    Before,
    /// The server receives and answers this command; its reply and all later commands are lost.
    After,
    /// The same, but the client lives: its connection is closed, and it may call again.
    ReplyLost,
}

/// A command that has arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The number of the command, from 1, over all connections.
    pub number: u64,
    /// The number of its connection, from 0.
    pub link: usize,
    /// `EVALSHA SHA`, `CLIENT SETINFO` (a command with subcommands), else the command, in upper
    /// case except for the SHA.
    pub name: String,
    /// The arguments, each truncated to 80 characters.
    pub args: Vec<String>,
}

/// The proxy. Its connections are closed on drop.
pub struct Proxy {
    shared: Arc<Shared>,
    folder: tempfile::TempDir,
    url: String,
}

impl Proxy {
    /// Starts a proxy to `server` that listens on a new Unix socket.
    #[track_caller]
    pub fn start(server: &Server) -> Self {
        let folder = tempfile::Builder::new().prefix("rrr-proxy.").tempdir();
        let folder = folder.expect("a temporary folder");
        let path = folder.path().join("proxy.sock");
        let listener = UnixListener::bind(&path).expect("a Unix socket");
        let upstream = server.socket();
        let ours = path.display().to_string();
        let url = server.url().replace(&upstream.display().to_string(), &ours);
        let shared = Arc::new(Shared {
            upstream,
            control: Mutex::default(),
        });
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || accept(&accepting, &listener));
        Self {
            shared,
            folder,
            url,
        }
    }

    /// The URL, with the server's password if there is one.
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// Kills the process (SIGKILL) that sends the `number`-th command from the start (or the last
    /// [`Proxy::reset`]), the first being 1.
    pub fn crash_at(&self, number: u64, crash: Crash) {
        assert!(number > 0, "commands are counted from 1");
        self.control().crashes.insert(number, crash);
    }

    /// Number of processes killed.
    pub fn crashes(&self) -> usize {
        self.control().killed
    }

    /// Number of commands that have arrived, including those never forwarded.
    pub fn count(&self) -> u64 {
        self.control().seen.len() as u64
    }

    /// The names of the commands that have arrived, in order.
    pub fn commands(&self) -> Vec<String> {
        let control = self.control();
        control.seen.iter().map(|seen| seen.name.clone()).collect()
    }

    /// The commands that have arrived, in order, with their arguments.
    pub fn transcript(&self) -> Vec<Seen> {
        self.control().seen.clone()
    }

    /// The round trips of each connection: how often its client sent after receiving all replies.
    /// A pipeline is one round trip; one longer than 64 KiB may count as several, because it may
    /// be answered in part while it is sent.
    pub fn round_trips(&self, link: usize) -> u64 {
        self.control().round_trips.get(&link).copied().unwrap_or(0)
    }

    /// The round trips of all connections together.
    pub fn all_round_trips(&self) -> u64 {
        self.control().round_trips.values().sum()
    }

    /// Resets all counts and crash points. Connections stay open.
    pub fn reset(&self) {
        let mut control = self.control();
        control.seen.clear();
        control.crashes.clear();
        control.round_trips.clear();
        control.killed = 0;
    }

    /// Delays everything that clients send.
    pub fn delay(&self, delay: Duration) {
        self.control().delay = delay;
    }

    /// Closes every current connection. New ones are accepted.
    pub fn cut(&self) {
        let links: Vec<_> = self.control().links.values().cloned().collect();
        links.iter().for_each(|link| link.close());
    }

    /// Makes every current connection half-open for good: nothing arrives on either side, and
    /// neither is notified. New connections work.
    pub fn silence(&self) {
        self.control()
            .links
            .values()
            .for_each(|link| link.silence());
    }

    /// While on, closes each new connection immediately.
    pub fn refuse(&self, on: bool) {
        self.control().refuse = on;
    }

    /// While on, commands reach the server and replies are discarded: a half-open connection.
    /// Switching it off closes the connections that have lost replies.
    pub fn blackhole(&self, on: bool) {
        self.control().swallow = on;
        if !on {
            let links: Vec<_> = self.control().links.values().cloned().collect();
            links
                .iter()
                .filter(|link| link.has_lost())
                .for_each(|link| link.close());
        }
    }

    /// Number of connections that have lost a reply.
    pub fn swallowed(&self) -> usize {
        let control = self.control();
        let lost = control.links.values().filter(|link| link.has_lost());
        lost.count()
    }

    /// While on, nothing is forwarded in either direction. Switching it off delivers the held
    /// bytes: a network that stalls and heals.
    pub fn freeze(&self, on: bool) {
        self.control().frozen = on;
    }

    /// Number of open connections.
    pub fn links(&self) -> usize {
        self.control().links.len()
    }

    fn control(&self) -> MutexGuard<'_, Control> {
        self.shared.control()
    }
}

impl Address for Proxy {
    fn redis_url(&self) -> String {
        self.url()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.control().closing = true;
        self.cut();
        // Wakes the accepting thread.
        let _ = UnixStream::connect(self.folder.path().join("proxy.sock"));
        let garbled = self.control().garbled.take();
        if let (Some(Garbled(bytes)), false) = (garbled, std::thread::panicking()) {
            panic!("the proxy did not understand: {bytes}");
        }
    }
}

/// State shared by the proxy and its connections.
pub(crate) struct Shared {
    pub upstream: PathBuf,
    control: Mutex<Control>,
}

#[derive(Default)]
pub(crate) struct Control {
    seen: Vec<Seen>,
    pub round_trips: HashMap<usize, u64>,
    crashes: BTreeMap<u64, Crash>,
    pub killed: usize,
    pub delay: Duration,
    pub swallow: bool,
    frozen: bool,
    refuse: bool,
    closing: bool,
    pub garbled: Option<Garbled>,
    pub links: HashMap<usize, Arc<Link>>,
}

impl Shared {
    pub fn control(&self) -> MutexGuard<'_, Control> {
        self.control
            .lock()
            .unwrap_or_else(|broken| broken.into_inner())
    }

    /// Counts an arrived command and returns its crash point, if any.
    pub fn arrived(&self, link: usize, frame: &[u8]) -> Result<Option<Crash>, Garbled> {
        let words = words(frame)?;
        let mut control = self.control();
        let number = control.seen.len() as u64 + 1;
        let args = words[1..].iter().map(|word| shorten(word)).collect();
        let name = name(&words);
        control.seen.push(Seen {
            number,
            link,
            name,
            args,
        });
        Ok(control.crashes.remove(&number))
    }

    /// Waits while the proxy is frozen.
    pub fn hold(&self) {
        let held = || {
            let control = self.control();
            control.frozen && !control.closing
        };
        while held() {
            std::thread::sleep(POLL);
        }
    }
}

fn accept(shared: &Arc<Shared>, listener: &UnixListener) {
    for (id, client) in listener.incoming().enumerate() {
        let Ok(client) = client else { return };
        let mut control = shared.control();
        if control.closing {
            return;
        }
        // Without a server, the client sees its connection closed.
        let Ok(server) = UnixStream::connect(&shared.upstream) else {
            continue;
        };
        if !control.refuse {
            let link = Arc::new(Link::new(id, client, server));
            control.links.insert(id, Arc::clone(&link));
            drop(control);
            carry(shared, &link);
        }
    }
}

fn name(words: &[&[u8]]) -> String {
    const WITH_SUBCOMMANDS: [&str; 9] = [
        "ACL", "CLIENT", "CONFIG", "FUNCTION", "MEMORY", "OBJECT", "SCRIPT", "XGROUP", "XINFO",
    ];
    let first = shorten(words[0]).to_uppercase();
    match words.get(1) {
        Some(sha) if first.starts_with("EVALSHA") => format!("{first} {}", shorten(sha)),
        Some(second) if WITH_SUBCOMMANDS.contains(&&*first) => {
            format!("{first} {}", shorten(second).to_uppercase())
        }
        _ => first,
    }
}

fn shorten(word: &[u8]) -> String {
    String::from_utf8_lossy(word).chars().take(80).collect()
}
