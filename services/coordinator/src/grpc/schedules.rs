use proto::{self as p, schedules_service_server::SchedulesService};
use tonic::Request;
use web::Page;

use super::{Answer, missing, request_json};
use crate::{problem::status, service::Service};

#[tonic::async_trait]
impl SchedulesService for Service {
    async fn list_schedules(
        &self,
        request: Request<p::ListSchedulesRequest>,
    ) -> Answer<p::ListSchedulesResponse> {
        let request = request.into_inner();
        let page = Page::new(request.page_size, &request.page_token).map_err(status)?;
        let list = self.schedules(&page).await.map_err(status)?;
        let answer = p::ListSchedulesResponse {
            schedules: list.schedules.into_iter().map(Into::into).collect(),
            next_page_token: list.next_page_token.unwrap_or_default(),
        };
        Ok(answer.into())
    }

    async fn get_schedule(&self, request: Request<p::GetScheduleRequest>) -> Answer<p::GetScheduleResponse> {
        let schedule = self.schedule(&request.into_inner().name).await.map_err(status)?;
        Ok(p::GetScheduleResponse { schedule: Some(schedule.into()) }.into())
    }

    async fn put_schedule(&self, request: Request<p::PutScheduleRequest>) -> Answer<p::PutScheduleResponse> {
        let p::Schedule { name, cron, job, catch_up, .. } =
            request.into_inner().schedule.ok_or_else(|| missing("schedule"))?;
        let job = request_json(job.unwrap_or_default()).map_err(status)?;
        let stored = Service::put_schedule(self, name, cron, job, catch_up).await.map_err(status)?;
        Ok(p::PutScheduleResponse { schedule: Some(stored.into()) }.into())
    }

    async fn delete_schedule(
        &self,
        request: Request<p::DeleteScheduleRequest>,
    ) -> Answer<p::DeleteScheduleResponse> {
        Service::delete_schedule(self, &request.into_inner().name).await.map_err(status)?;
        Ok(p::DeleteScheduleResponse {}.into())
    }
}
