//! The real scripts of lib/lua, composed as rrr composes them.

use crate::model::STOPPED_ALLOWANCE;
use redis::{Connection, ToRedisArgs, Value};
use std::cell::RefCell;
use std::collections::HashMap;
use std::path::PathBuf;

/// The source of a script: the constants, the shared parts that its header names, and its file.
/// STOPPED_ALLOWANCE is that of the model.
fn source(name: &str) -> String {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("lib/lua");
    let read = |path: PathBuf| {
        std::fs::read_to_string(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display()))
    };
    let own = read(folder.join(format!("{name}.lua")));
    let shared = own
        .lines()
        .find_map(|line| line.strip_prefix("-- shared: "));
    let mut code = format!(
        "local KEY_TTL, STOPPED_ALLOWANCE, MAX_BATCH = '1209600', {STOPPED_ALLOWANCE}, 16\n"
    );
    for part in shared.unwrap_or_default().split_whitespace() {
        code += &read(folder.join(format!("shared/{part}.lua")));
    }
    code + &own
}

/// A connection that runs scripts and commands, and remembers them as redis-cli would take them.
pub struct Client {
    conn: RefCell<Connection>,
    scripts: RefCell<HashMap<String, redis::Script>>,
    pub said: RefCell<Vec<String>>,
}

/// A word for a shell.
fn quoted(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    if text.contains('\t') {
        return format!("$'{}'", text.replace('\t', "\\t"));
    }
    shlex::try_quote(&text).expect("no NUL byte").into_owned()
}

impl Client {
    pub fn new(conn: Connection) -> Self {
        Self {
            conn: RefCell::new(conn),
            scripts: RefCell::default(),
            said: RefCell::default(),
        }
    }

    /// Runs a script of lib/lua.
    #[track_caller]
    pub fn script(&self, name: &str, keys: &[&str], args: &[&[u8]]) -> Value {
        let mut scripts = self.scripts.borrow_mut();
        let script = scripts
            .entry(name.to_owned())
            .or_insert_with(|| redis::Script::new(&source(name)));
        let mut call = script.prepare_invoke();
        for key in keys {
            call.key(*key);
        }
        for arg in args {
            call.arg(*arg);
        }
        let keys: Vec<String> = keys.iter().map(|key| quoted(key.as_bytes())).collect();
        let args: Vec<String> = args.iter().map(|arg| quoted(arg)).collect();
        let (keys, args) = (keys.join(" "), args.join(" "));
        let line = format!("redis-cli --eval {name}.lua {keys} , {args}");
        self.said.borrow_mut().push(line);
        let answer = call.invoke(&mut *self.conn.borrow_mut());
        answer.unwrap_or_else(|why| panic!("{name}: {why}"))
    }

    /// Runs a command.
    #[track_caller]
    pub fn run(&self, words: &[&[u8]]) -> Value {
        let line: Vec<String> = words.iter().map(|word| quoted(word)).collect();
        self.said
            .borrow_mut()
            .push(format!("redis-cli {}", line.join(" ")));
        let answer = command(words).query(&mut *self.conn.borrow_mut());
        answer.unwrap_or_else(|why| panic!("{line:?}: {why}"))
    }

    /// Runs a script of the test, which only reads.
    pub fn read(&self, script: &redis::Script, args: impl ToRedisArgs) -> String {
        let answer = script.arg(args).invoke(&mut *self.conn.borrow_mut());
        answer.expect("a dump")
    }
}

fn command(words: &[&[u8]]) -> redis::Cmd {
    let mut command = redis::Cmd::new();
    for word in words {
        command.arg(*word);
    }
    command
}

/// Writes the composed scripts that the lines name to a folder; returns it.
pub fn save(lines: &[String]) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("replay");
    std::fs::create_dir_all(&folder).expect("a folder for the scripts");
    for line in lines {
        let name = line
            .strip_prefix("redis-cli --eval ")
            .and_then(|rest| rest.split(".lua").next());
        if let Some(name) = name {
            std::fs::write(folder.join(format!("{name}.lua")), source(name)).expect("a script");
        }
    }
    folder
}
