//! The data directory of `up`: used by one process at a time; only its owner can read the secrets.

use std::{
    fs::{self, File, OpenOptions},
    io::{Read, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, bail};

/// A data directory that this process has locked.
pub struct DataDir {
    path: PathBuf,
    _lock: File,
}

impl DataDir {
    /// Creates and locks the directory; fails when another `up` uses it.
    pub fn take(path: &Path) -> anyhow::Result<Self> {
        if !path.exists() {
            fs::create_dir_all(path).with_context(|| format!("create data directory {}", path.display()))?;
            // The database may run as another user.
            fs::set_permissions(path, fs::Permissions::from_mode(0o755))
                .context("set permissions of the data directory")?;
        }
        let path = fs::canonicalize(path).context("resolve the data directory")?;
        let lock =
            OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path.join("lock"));
        let mut lock = lock.with_context(|| format!("open {}/lock", path.display()))?;
        // A command that checks whether an `up` runs here also holds the lock for a moment.
        let taken = (0..5)
            .any(|_| lock.try_lock().inspect_err(|_| std::thread::sleep(Duration::from_millis(20))).is_ok());
        if !taken {
            let mut holder = String::new();
            lock.read_to_string(&mut holder).ok();
            bail!(
                "another `cowriestream up` (process {}) uses {}: stop it, or give another --data-dir",
                holder.trim(),
                boot::quoted(&path)
            );
        }
        lock.set_len(0)
            .and_then(|()| writeln!(lock, "{}", std::process::id()))
            .context("write the lock file")?;
        Ok(Self { path, _lock: lock })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of a file in the directory.
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// A directory in the data directory, created if it is missing.
    pub fn folder(&self, name: &str) -> anyhow::Result<PathBuf> {
        let path = self.join(name);
        fs::create_dir_all(&path).with_context(|| format!("create {}", path.display()))?;
        Ok(path)
    }

    /// A random secret. It is stored, and stays the same over restarts.
    pub fn secret(&self, name: &str) -> anyhow::Result<String> {
        let path = self.join(&format!("{name}.secret"));
        if let Ok(text) = fs::read_to_string(&path)
            && text.trim().len() == 32
        {
            return Ok(text.trim().to_owned());
        }
        let mut random = [0; 16];
        File::open("/dev/urandom")
            .and_then(|mut source| source.read_exact(&mut random))
            .context("read randomness")?;
        let secret: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        self.write_private(&format!("{name}.secret"), &secret)?;
        Ok(secret)
    }

    /// Writes a file atomically that only its owner can read.
    pub fn write_private(&self, name: &str, text: &str) -> anyhow::Result<PathBuf> {
        let (path, new) = (self.join(name), self.join(&format!("{name}.new")));
        let write = || {
            fs::remove_file(&new).or_else(|error| {
                if error.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
            })?;
            OpenOptions::new()
                .create_new(true)
                .write(true)
                .mode(0o600)
                .open(&new)?
                .write_all(text.as_bytes())?;
            fs::rename(&new, &path)
        };
        write().with_context(|| format!("write {}", path.display()))?;
        Ok(path)
    }

    /// Writes `env`, for `set -a; . DIR/env`, so that psql, nats and redis-cli can connect.
    pub fn write_env(&self, values: &[(&str, String)]) -> anyhow::Result<PathBuf> {
        let quoted = |value: &str| value.replace('\'', r"'\''");
        let text: String =
            values.iter().map(|(name, value)| format!("{name}='{}'\n", quoted(value))).collect();
        self.write_private("env", &text)
    }
}
