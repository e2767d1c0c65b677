//! Queues: list, show, pause and resume.

use fields::Name;
use jobs::views::{Queue, QueueList};
use web::{Page, Problem};

use crate::{
    problem::failed,
    service::{Service, not_a_name},
    views,
};

impl Service {
    pub(crate) async fn queues(&self, page: &Page) -> Result<QueueList, Problem> {
        let mut connection = self.connection().await?;
        let queues = store::jobs::queues::list(&mut connection).await.map_err(failed)?;
        let (queues, next_page_token) = page.cut(queues, |queue| queue.name.clone());
        Ok(QueueList { queues: queues.into_iter().map(views::queue).collect(), next_page_token })
    }

    pub(crate) async fn queue(&self, name: &str) -> Result<Queue, Problem> {
        if !Name::is_valid(name) {
            return Err(not_a_name("queue"));
        }
        let mut connection = self.connection().await?;
        let queues = store::jobs::queues::list(&mut connection).await.map_err(failed)?;
        let found = queues.into_iter().find(|queue| queue.name == name);
        found.map(views::queue).ok_or_else(|| {
            Problem::not_found(format!("there is no queue {name}: it has no jobs, and no worker serves it"))
        })
    }

    /// Starts no more jobs of a queue, or starts them again.
    pub(crate) async fn pause(&self, name: &str, paused: bool) -> Result<(), Problem> {
        self.queue(name).await?;
        let mut connection = self.connection().await?;
        store::jobs::queues::pause(&mut connection, name, paused).await.map_err(failed)
    }
}
