//! Cowrie itself: a virtual environment with the package from PyPI, or an existing installation.
//!
//! **Invariant**: an environment is used only if its marker says that it is complete. An incomplete one is
//! deleted and created again.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use rustix::process::geteuid;
use tokio::process::Command;

use super::{DataDir, binaries, passable};

/// Written last, when the installation is complete.
const MARKER: &str = "cowriestream-installed";
/// Time limit of one step of the installation.
const STEP_LIMIT: Duration = Duration::from_secs(600);
/// The oldest Python that Cowrie supports.
const OLDEST_PYTHON: (u32, u32) = (3, 11);
const ADVICE: &str = "or set COWRIESTREAM_COWRIE to the bin directory of a Cowrie that is installed";

#[derive(Clone, Debug)]
pub struct Cowrie {
    /// The directory of `twistd` and `python`.
    pub(super) bin: PathBuf,
    pub version: String,
}

impl Cowrie {
    /// The Cowrie of `COWRIESTREAM_COWRIE`, if set; otherwise `version` in the data directory, installed from
    /// PyPI if it is missing.
    pub async fn find(data: &DataDir, version: &str) -> anyhow::Result<Self> {
        if let Some(bin) = env::var_os("COWRIESTREAM_COWRIE").filter(|bin| !bin.is_empty()) {
            return Self::at(PathBuf::from(bin)).await;
        }
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|c| c.is_ascii_alphanumeric());
        if !version.split('.').all(digits) {
            bail!("COWRIESTREAM_COWRIE_VERSION={version}: expected a version of Cowrie on PyPI, e.g. 3.1.4");
        }
        let folder = data.folder("honeypot")?.join(format!("venv-{version}"));
        if !folder.join(MARKER).exists() {
            install(&folder, version, &data.join("honeypot-install.log")).await?;
        }
        Ok(Self { bin: folder.join("bin"), version: version.to_owned() })
    }

    async fn at(bin: PathBuf) -> anyhow::Result<Self> {
        let named = format!("COWRIESTREAM_COWRIE={}", boot::quoted(&bin));
        let bin = fs::canonicalize(&bin).with_context(|| named.clone())?;
        if !(bin.join("twistd").is_file() && bin.join("python").exists()) {
            bail!(
                "{named}: no twistd and python there; expected the bin directory of a virtual environment with Cowrie"
            );
        }
        if geteuid().is_root() && !passable(&bin) {
            bail!("{named}: Cowrie must not run as root, and other users may not enter this directory");
        }
        let ask = "from importlib.metadata import version; print(version('cowrie'))";
        let out = Command::new(bin.join("python"))
            .args(["-I", "-c", ask])
            .output()
            .await
            .with_context(|| format!("{named}: run python"))?;
        let version = String::from_utf8_lossy(&out.stdout).trim().to_owned();
        if !out.status.success() || version.is_empty() {
            bail!(
                "{named}: Cowrie is not installed there: {}",
                boot::safe(last_line(&String::from_utf8_lossy(&out.stderr)))
            );
        }
        Ok(Self { bin, version })
    }
}

async fn install(folder: &Path, version: &str, log: &Path) -> anyhow::Result<()> {
    let python = python().await?;
    let began = Instant::now();
    tracing::info!(python = %python.display(), "installing Cowrie {version} from PyPI, only at the first start; takes about a minute");
    if folder.exists() {
        fs::remove_dir_all(folder).context("remove an incomplete virtual environment")?;
    }
    fs::File::create(log).with_context(|| format!("create {}", boot::quoted(log)))?;
    fs::create_dir(folder).with_context(|| format!("create {}", folder.display()))?;
    let made = step(&python, &["-m", "venv", "."], folder, log).await;
    made.with_context(|| format!("create a virtual environment: apt-get install python3-venv, {ADVICE}"))?;
    let bin = folder.join("bin");
    let package = format!("cowrie=={version}");
    tracing::info!("created the virtual environment; installing Cowrie and its dependencies");
    let installed = step(
        &bin.join("python"),
        &["-m", "pip", "install", "--disable-pip-version-check", "--no-input", &package],
        folder,
        log,
    )
    .await;
    installed.with_context(|| format!("install {package} from PyPI: is there a network, and does this version exist? Try again, {ADVICE}"))?;
    // Twisted caches a list of its plugins in their directory, where the honeypot must not write. Cowrie's
    // plugin creates a `var` in the directory where it is loaded.
    let plugins = "from twisted.plugin import getPlugins, IPlugin; list(getPlugins(IPlugin))";
    step(&bin.join("python"), &["-c", plugins], folder, log).await.context("list Cowrie's plugins")?;
    fs::remove_dir_all(folder.join("var")).ok();
    fs::write(folder.join(MARKER), version)
        .with_context(|| format!("mark {} as complete", folder.display()))?;
    tracing::info!(seconds = began.elapsed().as_secs(), "installed Cowrie {version}");
    Ok(())
}

/// Runs a step of the installation, with its output in the log. The step ends when this process does, and its
/// files are readable by all users.
async fn step(program: &Path, arguments: &[&str], folder: &Path, log: &Path) -> anyhow::Result<()> {
    let out = fs::OpenOptions::new()
        .append(true)
        .open(log)
        .with_context(|| format!("open {}", boot::quoted(log)))?;
    let errors = out.try_clone().context("share a log file")?;
    let mut command = match binaries::setpriv() {
        Some(setpriv) => {
            let mut command = Command::new(setpriv);
            command.args(["--pdeathsig", "KILL", "--", "/bin/sh"]);
            command
        }
        None => Command::new("/bin/sh"),
    };
    command.args(["-c", "umask 022; exec \"$@\"", "sh"]).arg(program).args(arguments);
    command
        .current_dir(folder)
        .env_remove("PYTHONPATH")
        .env_remove("PYTHONHOME")
        .env_remove("PIP_USER")
        .env_remove("PIP_TARGET");
    command.stdin(Stdio::null()).stdout(out).stderr(errors).kill_on_drop(true).process_group(0);
    let status = tokio::time::timeout(STEP_LIMIT, command.status())
        .await
        .with_context(|| format!("not done within {STEP_LIMIT:?}"))?;
    if !status.with_context(|| format!("run {}", program.display()))?.success() {
        let text = fs::read(log).unwrap_or_default();
        bail!(
            "{} (the whole output is in {})",
            boot::safe(last_line(&String::from_utf8_lossy(&text))),
            boot::quoted(log)
        );
    }
    Ok(())
}

/// The last line that is not blank.
pub(super) fn last_line(text: &str) -> &str {
    text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no reason was given")
}

/// A Python that is new enough and can create virtual environments. Prefers the system's Python, because
/// another user must be able to run it.
async fn python() -> anyhow::Result<PathBuf> {
    let system =
        ["/usr/bin/python3", "/usr/local/bin/python3", "/opt/homebrew/bin/python3"].map(PathBuf::from);
    let newer = ["/usr/bin/python3.13", "/usr/bin/python3.12", "/usr/bin/python3.11"].map(PathBuf::from);
    let on_path = binaries::on_path(&["python3"]).filter(|_| !geteuid().is_root());
    let mut why = "there is no python3".to_owned();
    for python in system.into_iter().chain(newer).chain(on_path).filter(|python| python.is_file()) {
        match usable(&python).await {
            Ok(()) => return Ok(python),
            Err(error) => why = format!("{}: {error:#}", python.display()),
        }
    }
    let (major, minor) = OLDEST_PYTHON;
    bail!(
        "--honeypot needs Python {major}.{minor} or newer with its module venv ({why}): apt-get install python3-venv, {ADVICE}"
    )
}

async fn usable(python: &Path) -> anyhow::Result<()> {
    let ask = "import sys; print(*sys.version_info[:2]); import ensurepip, venv";
    let out = Command::new(python).args(["-I", "-c", ask]).output().await.context("run it")?;
    let text = String::from_utf8_lossy(&out.stdout);
    let mut numbers = text.split_whitespace().map_while(|number| number.parse::<u32>().ok());
    let version = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
    if version < OLDEST_PYTHON {
        bail!("is Python {}.{}", version.0, version.1);
    }
    if !out.status.success() {
        bail!("{}", boot::safe(last_line(&String::from_utf8_lossy(&out.stderr))));
    }
    Ok(())
}
