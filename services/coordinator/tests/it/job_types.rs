//! The types of jobs, over REST and gRPC.

use serde_json::{Value, json};

use crate::hub::Hub;

#[tokio::test(flavor = "multi_thread")]
async fn each_type_says_what_it_takes_and_what_it_returns() {
    let hub = Hub::start().await;
    let list = hub.get("/api/v1/job-types");
    let names: Vec<_> = list["job_types"].as_array().unwrap().iter().map(|one| &one["job_type"]).collect();
    let known = ["botnet_coordination", "diagnostic", "longtail_analysis", "report", "snowshoe_detection"];
    assert_eq!(names, known);
    let page = hub.get("/api/v1/job-types?page_size=2");
    assert_eq!(page["job_types"].as_array().unwrap().len(), 2);

    let mut grpc = hub.jobs_service().await;
    let listed = grpc.list_job_types(proto::ListJobTypesRequest::default()).await.unwrap().into_inner();
    assert_eq!(listed.job_types.len(), known.len());
    for (name, listed) in known.into_iter().zip(listed.job_types) {
        let one = hub.get(&format!("/api/v1/job-types/{name}"));
        assert_eq!((&one["job_type"], &listed.job_type), (&json!(name), &name.to_owned()));
        assert_eq!(one["result"]["type"], "object");
        // The defaults that it names make a request.
        let properties = one["parameters"]["properties"].as_object().unwrap().iter();
        let parameters: Value =
            properties.map(|(name, schema)| (name.clone(), schema["default"].clone())).collect();
        let job = hub.submit(&json!({"job_type": name, "parameters": parameters, "queue": "nobody"}));
        let mut stored = hub.get(&format!("/api/v1/jobs/{job}"))["parameters"].clone();
        stored.as_object_mut().unwrap().remove("window_seconds");
        assert_eq!(stored, parameters);
        let request = proto::GetJobTypeRequest { job_type: name.to_owned() };
        let shown = grpc.get_job_type(request).await.unwrap().into_inner().job_type;
        assert_eq!(shown, Some(listed));
    }
    assert_eq!(hub.call("GET", "/api/v1/job-types/none", None).status, 404);
    assert_eq!(hub.call("GET", "/api/v1/job-types/a.b", None).status, 422);
}
