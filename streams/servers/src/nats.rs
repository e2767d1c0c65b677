//! A private NATS server.

use std::path::Path;

use anyhow::{Context as _, bail};
use rustix::process::Signal;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{DataDir, binaries, ports, process::Command};

/// The command that runs it, and its URL.
pub(super) fn prepare(data: &DataDir) -> anyhow::Result<(Command, String)> {
    let program = binaries::nats()?;
    check_version(&program)?;
    let folder = data.folder("nats")?;
    let (port, monitor) = (ports::port(data, "nats")?, ports::port(data, "nats-monitor")?);
    let secret = data.secret("nats")?;
    let config = format!(
        "# written by cowriestream up\nlisten: \"127.0.0.1:{port}\"\nhttp: \"127.0.0.1:{monitor}\"\nserver_name: cowriestream\nauthorization {{ user: cowriestream, password: \"{secret}\" }}\njetstream {{ store_dir: {}, max_file_store: 1TB }}\n",
        serde_json::to_string(&folder.to_string_lossy())?
    );
    let config = data.write_private("nats.conf", &config)?;
    let probe = Box::new(move || Box::pin(healthy(monitor)) as _);
    let command = Command {
        name: "NATS",
        program,
        arguments: vec!["--config".into(), config.into()],
        folder,
        user: None,
        stop_signal: Signal::TERM,
        probe,
        asked: true,
    };
    Ok((command, format!("nats://cowriestream:{secret}@127.0.0.1:{port}")))
}

fn check_version(program: &Path) -> anyhow::Result<()> {
    let out = std::process::Command::new(program)
        .arg("--version")
        .output()
        .with_context(|| format!("run {} --version", program.display()))?;
    let text = String::from_utf8_lossy(&out.stdout);
    let number = text.rsplit('v').next().unwrap_or_default();
    let mut parts = number.trim().split('.').map_while(|part| part.parse::<u32>().ok());
    if (parts.next().unwrap_or_default(), parts.next().unwrap_or_default()) < (2, 10) {
        bail!(
            "{} is too old ({}): 2.10 or newer is needed: install it (nats.io/download), or set COWRIESTREAM_NATS_SERVER to it",
            program.display(),
            boot::safe(text.trim())
        );
    }
    Ok(())
}

/// `GET /healthz` returns 200 when JetStream is ready, too.
async fn healthy(monitor: u16) -> bool {
    let ask = async {
        let mut stream = TcpStream::connect(("127.0.0.1", monitor)).await?;
        stream.write_all(b"GET /healthz HTTP/1.0\r\n\r\n").await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        std::io::Result::Ok(answer.starts_with(b"HTTP/1.0 200") || answer.starts_with(b"HTTP/1.1 200"))
    };
    tokio::time::timeout(std::time::Duration::from_secs(2), ask)
        .await
        .is_ok_and(|answer| answer.unwrap_or(false))
}
