//! rrr-keygen: generates a key pair for signing tasksets.

use crate::process::{exit, stdout};
use crate::suite::signing;
use std::path::PathBuf;

/// Generates a key pair for signing tasksets
#[derive(clap::Parser)]
#[command(name = "rrr-keygen", version)]
pub struct Options {
    /// File for the secret key; the public key goes to FILE.pub and stdout
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Runs the tool.
pub fn run(options: Options) -> anyhow::Result<u8> {
    let public = signing::generate(&options.file)?;
    stdout::json_line(&serde_json::json!({ "public_key": public, "file": options.file }))?;
    Ok(exit::OK)
}
