//! Generates the code with a compiler written in Rust: no protoc need be installed.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=cowrie");
    let all = ["jobs", "queues", "schedules", "workers"].map(|noun| format!("cowrie/v1/{noun}.proto"));
    let files = protox::compile(all, ["."])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("descriptors.bin"), files.encode_to_vec())?;
    tonic_prost_build::configure().compile_fds(files)?;
    Ok(())
}
