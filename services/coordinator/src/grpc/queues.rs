use proto::{self as p, queues_service_server::QueuesService};
use tonic::Request;
use web::Page;

use super::Answer;
use crate::{problem::status, service::Service};

#[tonic::async_trait]
impl QueuesService for Service {
    async fn list_queues(&self, request: Request<p::ListQueuesRequest>) -> Answer<p::ListQueuesResponse> {
        let request = request.into_inner();
        let page = Page::new(request.page_size, &request.page_token).map_err(status)?;
        let list = self.queues(&page).await.map_err(status)?;
        let answer = p::ListQueuesResponse {
            queues: list.queues.into_iter().map(Into::into).collect(),
            next_page_token: list.next_page_token.unwrap_or_default(),
        };
        Ok(answer.into())
    }

    async fn get_queue(&self, request: Request<p::GetQueueRequest>) -> Answer<p::GetQueueResponse> {
        let queue = self.queue(&request.into_inner().queue).await.map_err(status)?;
        Ok(p::GetQueueResponse { queue: Some(queue.into()) }.into())
    }

    async fn pause_queue(&self, request: Request<p::PauseQueueRequest>) -> Answer<p::PauseQueueResponse> {
        self.pause(&request.into_inner().queue, true).await.map_err(status)?;
        Ok(p::PauseQueueResponse {}.into())
    }

    async fn resume_queue(&self, request: Request<p::ResumeQueueRequest>) -> Answer<p::ResumeQueueResponse> {
        self.pause(&request.into_inner().queue, false).await.map_err(status)?;
        Ok(p::ResumeQueueResponse {}.into())
    }
}
