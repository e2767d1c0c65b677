//! Workers: list, show and remove.

use fields::Name;
use jobs::views::{Worker, WorkerList};
use store::jobs::workers::Removed;
use web::{Code, Page, Problem};

use crate::{
    problem::failed,
    routing,
    service::{Service, not_a_name},
    views,
};

impl Service {
    /// A page of workers, and the live workers that take the jobs of each queue.
    pub(crate) async fn workers(&self, page: &Page) -> Result<WorkerList, Problem> {
        let mut connection = self.connection().await?;
        let workers = store::jobs::workers::list(&mut connection).await.map_err(failed)?;
        let queues = store::jobs::queues::list(&mut connection).await.map_err(failed)?;
        let job_routing = routing::routes(&workers, &queues);
        // Several starts of one worker have one name.
        let key =
            |worker: &store::jobs::workers::Worker| format!("{} {}", worker.spec.name, worker.worker_id);
        let (workers, next_page_token) = page.cut(workers, key);
        Ok(WorkerList {
            workers: workers.into_iter().map(views::worker).collect(),
            job_routing,
            next_page_token,
        })
    }

    /// The worker of a name; of several starts the one with the last heartbeat.
    pub(crate) async fn worker(&self, name: &str) -> Result<Worker, Problem> {
        if !Name::is_valid(name) {
            return Err(not_a_name("name"));
        }
        let mut connection = self.connection().await?;
        let workers = store::jobs::workers::list(&mut connection).await.map_err(failed)?;
        let found = workers.into_iter().filter(|worker| worker.spec.name == name);
        found.max_by_key(|worker| worker.heartbeat_at).map(views::worker).ok_or_else(|| no_worker(name))
    }

    /// Removes a dead worker, with what makes queues exclusive to it.
    pub(crate) async fn remove_worker(&self, name: &str) -> Result<(), Problem> {
        if !Name::is_valid(name) {
            return Err(not_a_name("name"));
        }
        let mut connection = self.connection().await?;
        match store::jobs::workers::remove(&mut connection, name).await.map_err(failed)? {
            Removed::Done => Ok(()),
            Removed::Alive => {
                let detail = format!(
                    "worker {name} is alive: stop it first; it can be removed 15 s after its last heartbeat"
                );
                Err(Problem::new(Code::InvalidState, detail))
            }
            Removed::Unknown => Err(no_worker(name)),
        }
    }
}

fn no_worker(name: &str) -> Problem {
    Problem::not_found(format!("there is no worker {name}"))
}
