use proto::{self as p, workers_service_server::WorkersService};
use tonic::Request;
use uuid::Uuid;
use web::{Page, Problem};

use super::{Answer, missing};
use crate::{
    problem::{failed, status},
    service::Service,
    views::worker_spec,
};

#[tonic::async_trait]
impl WorkersService for Service {
    async fn register_worker(
        &self,
        request: Request<p::RegisterWorkerRequest>,
    ) -> Answer<p::RegisterWorkerResponse> {
        let worker = request.into_inner().worker.ok_or_else(|| missing("worker"))?;
        let (spec, worker_id) = (worker_spec(worker).map_err(status)?, Uuid::new_v4());
        let mut connection = self.connection().await.map_err(status)?;
        let registered = store::jobs::workers::register(&mut connection, worker_id, &spec).await;
        registered.map_err(failed).map_err(status)?;
        Ok(p::RegisterWorkerResponse { worker_id: worker_id.to_string() }.into())
    }

    async fn list_workers(&self, request: Request<p::ListWorkersRequest>) -> Answer<p::ListWorkersResponse> {
        let request = request.into_inner();
        let page = Page::new(request.page_size, &request.page_token).map_err(status)?;
        let list = self.workers(&page).await.map_err(status)?;
        let names = |(queue, workers)| (queue, p::WorkerNames { workers });
        let answer = p::ListWorkersResponse {
            workers: list.workers.into_iter().map(Into::into).collect(),
            job_routing: list.job_routing.into_iter().map(names).collect(),
            next_page_token: list.next_page_token.unwrap_or_default(),
        };
        Ok(answer.into())
    }

    async fn get_worker(&self, request: Request<p::GetWorkerRequest>) -> Answer<p::GetWorkerResponse> {
        let worker = self.worker(&request.into_inner().name).await.map_err(status)?;
        Ok(p::GetWorkerResponse { worker: Some(worker.into()) }.into())
    }

    async fn remove_worker(
        &self,
        request: Request<p::RemoveWorkerRequest>,
    ) -> Answer<p::RemoveWorkerResponse> {
        Service::remove_worker(self, &request.into_inner().name).await.map_err(status)?;
        Ok(p::RemoveWorkerResponse {}.into())
    }

    async fn send_heartbeat(
        &self,
        request: Request<p::SendHeartbeatRequest>,
    ) -> Answer<p::SendHeartbeatResponse> {
        let request = request.into_inner();
        let worker_id = Uuid::try_parse(&request.worker_id)
            .map_err(|_| status(Problem::field("worker_id", "expected a UUID")))?;
        let mut connection = self.connection().await.map_err(status)?;
        let running = request.running.min(1_000_000).cast_signed();
        let known = store::jobs::workers::beat(&mut connection, worker_id, running, false).await;
        match known.map_err(failed).map_err(status)? {
            true => Ok(p::SendHeartbeatResponse {}.into()),
            false => {
                Err(status(Problem::not_found(format!("there is no worker {worker_id}: register again"))))
            }
        }
    }
}
