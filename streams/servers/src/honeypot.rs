//! A real Cowrie on loopback, run by a user who is neither root nor the database's.
//!
//! **Invariant**: it listens on loopback only, and can write only to its own `var`, neither to its program
//! nor to its configuration.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use rustix::process::Signal;
use tokio::net::TcpStream;

use super::{
    DataDir,
    cowrie::{Cowrie, last_line},
    passable, ports, postgres,
    process::Command,
    users::{self, User},
};

/// Who Cowrie's default user database lets in.
const WHO_GETS_IN: &str =
    "Any user and password open it, but for root with root, 123456, or anything that contains honeypot.";

#[derive(Clone, Debug)]
pub struct Honeypot {
    pub log: PathBuf,
    version: String,
    ssh: u16,
    telnet: u16,
    /// The user has configured who may log in.
    userdb: bool,
}

impl Honeypot {
    /// Its variables in the file `env`.
    pub fn addresses(&self) -> [(&'static str, String); 2] {
        [
            ("HONEYPOT_SSH", format!("127.0.0.1:{}", self.ssh)),
            ("HONEYPOT_TELNET", format!("127.0.0.1:{}", self.telnet)),
        ]
    }

    /// Instructions for trying it.
    pub fn invitation(&self) -> String {
        let Self { version, ssh, telnet, .. } = self;
        let who = if self.userdb { "Its etc/userdb.txt says who gets in." } else { WHO_GETS_IN };
        format!(
            "A honeypot is up (Cowrie {version}, on loopback only). Try it from another terminal:\n  ssh -p {ssh} -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null root@127.0.0.1\n  telnet 127.0.0.1 {telnet}\n{who}\nYour events, live:"
        )
    }
}

/// The command that runs it.
pub(super) async fn prepare(data: &DataDir, cowrie: &Cowrie) -> anyhow::Result<(Command, Honeypot)> {
    let home = data.folder("honeypot")?;
    let user = users::instead_of_root(&["nobody", "daemon"], postgres::user()?)?;
    if let Some((uid, _)) = user
        && !passable(&home)
    {
        bail!(
            "Cowrie must not run as root and runs as user {uid}, which may not enter {}: give a --data-dir whose parent directories other users may enter (e.g. /var/lib/cowriestream), or run as another user",
            boot::quoted(data.path())
        );
    }
    let (ssh, telnet) =
        (ports::preferred(data, "honeypot-ssh", 2222)?, ports::preferred(data, "honeypot-telnet", 2223)?);
    configure(&home, ssh, telnet)?;
    own(&home, user).await?;
    let arguments =
        ["-n", "--umask=0022", "--pidfile=", "--logger", "cowrie.python.logfile.stdoutLogger", "--rundir"];
    let mut arguments: Vec<_> = arguments.map(Into::into).into();
    arguments.extend([home.clone().into(), "cowrie".into()]);
    let probe = Box::new(move || Box::pin(answers(ssh, telnet)) as _);
    let honeypot = Honeypot {
        log: home.join("var/log/cowrie/cowrie.json"),
        version: cowrie.version.clone(),
        ssh,
        telnet,
        userdb: home.join("etc/userdb.txt").exists(),
    };
    Ok((
        Command {
            name: "Cowrie",
            program: cowrie.bin.join("twistd"),
            arguments,
            folder: home,
            user,
            stop_signal: Signal::TERM,
            probe,
            asked: false,
        },
        honeypot,
    ))
}

/// Writes the configuration. Users edit `etc/cowrie.cfg`. Cowrie reads `cowrie.cfg` after it, which sets the
/// addresses.
fn configure(home: &Path, ssh: u16, telnet: u16) -> anyhow::Result<()> {
    let write = |name: &str, text: &str| {
        let path = home.join(name);
        fs::write(&path, text)
            .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o644)))
            .with_context(|| format!("write {}", path.display()))
    };
    let etc = home.join("etc");
    fs::create_dir_all(&etc).with_context(|| format!("create {}", etc.display()))?;
    for folder in [home, &etc] {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755))
            .context("set permissions of the honeypot's directory")?;
    }
    if !etc.join("cowrie.cfg").exists() {
        write(
            "etc/cowrie.cfg",
            "# Your settings for this Cowrie. Each start writes its addresses and log paths to ../cowrie.cfg.\n",
        )?;
    }
    write(
        "cowrie.cfg",
        &format!(
            "# written by cowriestream up at each start; put your settings into etc/cowrie.cfg\n[honeypot]\nlog_path = var/log/cowrie\nstate_path = var/lib/cowrie\n[ssh]\nenabled = true\nlisten_endpoints = tcp:{ssh}:interface=127.0.0.1\n[telnet]\nenabled = true\nlisten_endpoints = tcp:{telnet}:interface=127.0.0.1\n[output_jsonlog]\nenabled = true\nlogfile = ${{honeypot:log_path}}/cowrie.json\nepoch_timestamp = false\n"
        ),
    )
}

/// Creates `var`. The honeypot owns its content and might put symbolic links there, so the directories in it
/// are created as the honeypot's user.
async fn own(home: &Path, user: Option<User>) -> anyhow::Result<()> {
    let var = home.join("var");
    fs::create_dir_all(&var).with_context(|| format!("create {}", var.display()))?;
    let mut mkdir = tokio::process::Command::new("/bin/mkdir");
    mkdir
        .arg("-p")
        .args(["log/cowrie", "lib/cowrie/downloads", "lib/cowrie/tty", "run"].map(|name| var.join(name)))
        .current_dir("/");
    if let Some((uid, gid)) = user {
        chown(&var, Some(uid), Some(gid)).with_context(|| format!("give {} to user {uid}", var.display()))?;
        mkdir.uid(uid).gid(gid);
    }
    let out = mkdir.output().await.context("run mkdir")?;
    if !out.status.success() {
        bail!(
            "make the honeypot's directories: {}; did another user run it? Move {} away, or change its owner to the current user",
            boot::safe(last_line(&String::from_utf8_lossy(&out.stderr))),
            boot::quoted(&var)
        );
    }
    Ok(())
}

/// Whether it listens. If `/proc` lists the sockets, no connection is made, because Cowrie would log it.
async fn answers(ssh: u16, telnet: u16) -> bool {
    let Ok(sockets) = fs::read_to_string("/proc/net/tcp") else {
        return TcpStream::connect(("127.0.0.1", ssh)).await.is_ok()
            && TcpStream::connect(("127.0.0.1", telnet)).await.is_ok();
    };
    let listens = |port: u16| sockets.lines().any(|line| is_listening(line, port));
    listens(ssh) && listens(telnet)
}

/// Parses a line of `/proc/net/tcp`: number, local address and port in hexadecimal, remote ones, state (0A:
/// listening), …
fn is_listening(line: &str, port: u16) -> bool {
    let mut words = line.split_whitespace().skip(1);
    let local = words.next().unwrap_or_default();
    local.ends_with(&format!(":{port:04X}")) && words.nth(1) == Some("0A")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listening_socket_is_distinguished_from_a_connection() {
        let line = "   4: 0100007F:08AE 00000000:0000 0A 00000000:00000000 00:00000000 00000000 65534        0 1 1 0 100 0 0 10 0";
        assert!(is_listening(line, 2222) && !is_listening(line, 2223));
        assert!(!is_listening(&line.replace(" 0A ", " 01 "), 2222));
    }
}
