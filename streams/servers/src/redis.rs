//! A private Redis server. It holds only a mirror, so it need not persist anything.

use rustix::process::Signal;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{DataDir, binaries, ports, process::Command};

/// The command that runs it, and its URL.
pub(super) fn prepare(data: &DataDir) -> anyhow::Result<(Command, String)> {
    let program = binaries::redis()?;
    let folder = data.folder("redis")?;
    let port = ports::port(data, "redis")?;
    let secret = data.secret("redis")?;
    let config = format!(
        "# written by cowriestream up\nbind 127.0.0.1\nport {port}\nrequirepass {secret}\ndir {}\nsave \"\"\nappendonly no\nmaxmemory 256mb\nmaxmemory-policy noeviction\n",
        serde_json::to_string(&folder.to_string_lossy())?
    );
    let config = data.write_private("redis.conf", &config)?;
    // Redis shows the path of its configuration in the process list; by that a left-over process is
    // recognised.
    let folder = data.join("redis");
    let password = secret.clone();
    let probe = Box::new(move || Box::pin(answers(port, password.clone())) as _);
    let command = Command {
        name: "Redis",
        program,
        arguments: vec![config.into(), "--dir".into(), folder.clone().into()],
        folder,
        user: None,
        stop_signal: Signal::TERM,
        probe,
        asked: false,
    };
    Ok((command, format!("redis://default:{secret}@127.0.0.1:{port}")))
}

/// Sends `AUTH` and `PING`.
async fn answers(port: u16, password: String) -> bool {
    let ask = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.write_all(format!("AUTH {password}\r\nPING\r\nQUIT\r\n").as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        std::io::Result::Ok(answer.contains("+PONG"))
    };
    tokio::time::timeout(std::time::Duration::from_secs(2), ask)
        .await
        .is_ok_and(|answer| answer.unwrap_or(false))
}
