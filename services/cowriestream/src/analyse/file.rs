//! Data sets in Arrow files: what was analysed once can be analysed again, here or elsewhere, without the
//! logs or the database.

use std::{
    fs::{self, File},
    io::{BufWriter, Write as _},
    path::Path,
};

use analysis::{Data, arrow};
use anyhow::Context as _;
use boot::Tasks;

/// The data set of a file that [`save`] wrote. The whole file is in memory meanwhile.
pub(super) async fn read(path: &Path, tasks: &Tasks) -> anyhow::Result<Data> {
    let path = path.to_owned();
    let task = tasks.compute(move || {
        let read = || anyhow::Ok(arrow::read(&fs::read(&path)?)?);
        read().with_context(|| format!("read {}", path.display()))
    });
    task.result().await?
}

/// Writes a data set, and hands it back. A file of that name is replaced.
pub(super) async fn save(path: &Path, data: Data, tasks: &Tasks) -> anyhow::Result<Data> {
    let path = path.to_owned();
    let task = tasks.compute(move || {
        let write = || {
            let mut file = BufWriter::new(File::create(&path)?);
            arrow::write(&data, &mut file)?;
            anyhow::Ok(file.flush()?)
        };
        write().with_context(|| format!("write {}", path.display()))?;
        boot::complain(&format!("{} sessions are in {}", data.sessions.len(), boot::quoted(&path)));
        anyhow::Ok(data)
    });
    task.result().await?
}
