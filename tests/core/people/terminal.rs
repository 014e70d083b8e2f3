//! A program, usually an rrr tool, in a real pseudo-terminal, and its screen.

use crate::harness::*;
use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use std::io::{Read, Write};
use std::num::NonZero;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// Number of rows: enough that no output of a test scrolls away.
const ROWS: u16 = 50;

struct Shown {
    parser: vt100::Parser,
    bytes: Vec<u8>,
}

/// A program on a terminal.
pub struct Terminal {
    master: Box<dyn MasterPty + Send>,
    keyboard: Box<dyn Write + Send>,
    child: Box<dyn Child + Send + Sync>,
    shown: Arc<Mutex<Shown>>,
    reader: JoinHandle<()>,
}

fn cells(count: u16) -> NonZero<u16> {
    NonZero::new(count).expect("at least one")
}

fn size(columns: u16) -> PtySize {
    PtySize {
        rows: ROWS,
        cols: columns,
        pixel_width: 0,
        pixel_height: 0,
    }
}

impl Terminal {
    /// Starts the tool `name` in `folder`, on a terminal `columns` wide.
    pub fn start(
        server: &Server,
        columns: u16,
        folder: &Path,
        name: &str,
        args: &[&str],
        env: &[(&str, &str)],
    ) -> Self {
        let dressed = redis_mode::variables(name, &server.redis_url());
        let dressed = dressed.iter().map(|(name, value)| (*name, &**value));
        let env: Vec<_> = dressed.chain(env.iter().copied()).collect();
        Self::program(&bin(name), columns, folder, args, &env)
    }

    /// Starts any program.
    pub fn program(
        program: &Path,
        columns: u16,
        folder: &Path,
        args: &[&str],
        env: &[(&str, &str)],
    ) -> Self {
        let pty = native_pty_system()
            .openpty(size(columns))
            .expect("a pseudo-terminal");
        let mut command = CommandBuilder::new(program);
        for (variable, _) in std::env::vars() {
            if variable.starts_with("RRR")
                || ["CI", "NO_COLOR", "CLICOLOR_FORCE", "CLICOLOR"].contains(&&*variable)
            {
                command.env_remove(variable);
            }
        }
        command.env("TERM", "xterm-256color");
        env.iter()
            .for_each(|(name, value)| command.env(name, value));
        command.args(args);
        command.cwd(folder);
        let child = pty.slave.spawn_command(command).expect("a program");
        drop(pty.slave);
        let shown = Arc::new(Mutex::new(Shown {
            parser: vt100::Parser::new(cells(ROWS), cells(columns), 0),
            bytes: Vec::new(),
        }));
        let mut output = pty.master.try_clone_reader().expect("its output");
        let screen = shown.clone();
        let reader = std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = output.read(&mut buffer) {
                let mut shown = screen.lock().unwrap();
                shown.parser.process(&buffer[..count]);
                shown.bytes.extend_from_slice(&buffer[..count]);
            }
        });
        Self {
            keyboard: pty.master.take_writer().expect("a keyboard"),
            master: pty.master,
            child,
            shown,
            reader,
        }
    }

    /// The current content of the screen.
    pub fn screen(&self) -> String {
        self.shown.lock().unwrap().parser.screen().contents()
    }

    /// All bytes written so far.
    pub fn bytes(&self) -> Vec<u8> {
        self.shown.lock().unwrap().bytes.clone()
    }

    /// Waits until the screen satisfies the predicate and returns it.
    #[track_caller]
    pub fn wait_for(&self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        let mut last = String::new();
        let seen = wait::within(PATIENCE, || {
            last = self.screen();
            wanted(&last).then(|| last.clone())
        });
        seen.unwrap_or_else(|| panic!("{what} does not come; the screen is:\n{last}"))
    }

    /// Changes the width of the terminal.
    pub fn resize(&self, columns: u16) {
        self.shown
            .lock()
            .unwrap()
            .parser
            .screen_mut()
            .set_size(cells(ROWS), cells(columns));
        self.master.resize(size(columns)).expect("another size");
    }

    /// Types Ctrl-C.
    pub fn interrupt(&mut self) {
        self.types("\x03");
    }

    /// Types these keys.
    pub fn types(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).expect("a key");
    }

    /// Waits for the end of the tool. Returns its exit code and the last screen.
    #[track_caller]
    pub fn end(&mut self) -> (u32, String) {
        let status = eventually(PATIENCE, "the tool ends", || {
            self.child.try_wait().expect("a child of the test")
        });
        // The last bytes may not have arrived yet; the reader gets an error after them.
        eventually(PATIENCE, "the output ends", || {
            self.reader.is_finished().then_some(())
        });
        (status.exit_code(), self.screen())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
