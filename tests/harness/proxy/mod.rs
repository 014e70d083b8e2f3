//! A man in the middle between tools and a server, that knows where each command ends.
//!
//! It makes crash points: at the k-th command, counted over all connections, the process that sent
//! it is killed, either before the server has seen the command, or after the server has applied it
//! and before anybody has seen the reply. Besides it delays, cuts, freezes and swallows.
//!
//! Not understood: inline commands, `MONITOR`, and the publish and subscribe of RESP2.

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

/// Where a client dies at a command: both sides of each crash point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// The server gets every command before this one of the same connection, and answers them, but
    /// never this one.
    Before,
    /// The server gets and answers this command, nobody sees the reply, nothing after it is sent.
    After,
}

/// One command that has arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Which command it was, from 1, over all connections.
    pub number: u64,
    /// Which connection it came on, from 0.
    pub link: usize,
    /// `EVALSHA SHA`, `CLIENT SETINFO` (a command with subcommands), else the command; upper case
    /// but for the SHA.
    pub name: String,
    /// The words after the first, each cut at 80 characters.
    pub args: Vec<String>,
}

/// The proxy; connections to it are cut when it is dropped.
pub struct Proxy {
    shared: Arc<Shared>,
    folder: tempfile::TempDir,
    url: String,
}

impl Proxy {
    /// A proxy before `server`, listening on a Unix socket of its own.
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

    /// Its URL, with the password of the server if it has one.
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// Kills the process (SIGKILL) that sends the `number`-th command from the start (or the last
    /// [`Proxy::reset`]), the first being 1.
    pub fn crash_at(&self, number: u64, crash: Crash) {
        assert!(number > 0, "commands are counted from 1");
        self.control().crashes.insert(number, crash);
    }

    /// How many processes it has killed.
    pub fn crashes(&self) -> usize {
        self.control().killed
    }

    /// How many commands have arrived, those never forwarded included.
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

    /// How often the client of a connection has sent after it had got all replies: its round
    /// trips, a pipeline being one. (A pipeline so long that it is answered in part while it is
    /// being sent may count as more; what fits into 64 KiB does not.)
    pub fn round_trips(&self, link: usize) -> u64 {
        self.control().round_trips.get(&link).copied().unwrap_or(0)
    }

    /// The round trips of all connections together.
    pub fn all_round_trips(&self) -> u64 {
        self.control().round_trips.values().sum()
    }

    /// Forgets all that was counted and every crash. Connections stay.
    pub fn reset(&self) {
        let mut control = self.control();
        control.seen.clear();
        control.crashes.clear();
        control.round_trips.clear();
        control.killed = 0;
    }

    /// Holds whatever a client sends for so long.
    pub fn delay(&self, delay: Duration) {
        self.control().delay = delay;
    }

    /// Closes every connection, now. New ones are welcome.
    pub fn cut(&self) {
        let links: Vec<_> = self.control().links.values().cloned().collect();
        links.iter().for_each(|link| link.close());
    }

    /// Makes every connection of now half-open for good: nothing arrives any more, on either side,
    /// and nobody is told. New ones work.
    pub fn silence(&self) {
        self.control()
            .links
            .values()
            .for_each(|link| link.silence());
    }

    /// While on, closes each new connection at once.
    pub fn refuse(&self, on: bool) {
        self.control().refuse = on;
    }

    /// While on, commands reach the server and replies are thrown away: a half-open connection.
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

    /// How many connections have lost a reply.
    pub fn swallowed(&self) -> usize {
        let control = self.control();
        let lost = control.links.values().filter(|link| link.has_lost());
        lost.count()
    }

    /// While on, nothing moves in either direction; what was held goes on when it is switched off:
    /// a network that stalls and heals.
    pub fn freeze(&self, on: bool) {
        self.control().frozen = on;
    }

    /// How many connections are open.
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
        // Wakes the thread that accepts.
        let _ = UnixStream::connect(self.folder.path().join("proxy.sock"));
        let garbled = self.control().garbled.take();
        if let (Some(Garbled(bytes)), false) = (garbled, std::thread::panicking()) {
            panic!("the proxy did not understand: {bytes}");
        }
    }
}

/// What the proxy and its connections share.
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

    /// Counts a command that has arrived, and tells what is to happen at it.
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
        // With no server there, the client sees its connection closed.
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
