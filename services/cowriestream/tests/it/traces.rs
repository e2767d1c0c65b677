//! Traces at a collector: the path of a line and of the job that reacts to it are one trace.

use std::{
    fs,
    net::SocketAddr,
    process::Command,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::any_value::Value,
};
use rustix::process::Signal;
use tonic::{Request, Response, Status};

use crate::harness::{Hub, Process, Writer, eventually};

#[derive(Clone, PartialEq, Debug)]
struct Seen {
    service: String,
    name: String,
    trace: String,
    span: String,
    parent: String,
}

/// A collector that stores the spans it receives.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<Seen>>>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        for resource in request.into_inner().resource_spans {
            let attributes = resource.resource.unwrap_or_default().attributes;
            let service =
                attributes.into_iter().find(|one| one.key == "service.name").and_then(|one| one.value?.value);
            let Some(Value::StringValue(service)) = service else { continue };
            for span in resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                let (trace, parent) = (hex(&span.trace_id), hex(&span.parent_span_id));
                self.0.lock().unwrap().push(Seen {
                    service: service.clone(),
                    name: span.name,
                    trace,
                    span: hex(&span.span_id),
                    parent,
                });
            }
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    #[allow(clippy::disallowed_methods, reason = "ends with the test")]
    async fn open() -> (Self, SocketAddr) {
        let (collector, port) =
            (Self::default(), std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap());
        let server =
            tonic::transport::Server::builder().add_service(TraceServiceServer::new(collector.clone()));
        tokio::spawn(server.serve(port));
        (collector, port)
    }

    fn span(&self, name: &str, trace: &str) -> Option<Seen> {
        self.0.lock().unwrap().iter().find(|seen| seen.name == name && seen.trace == trace).cloned()
    }
}

fn role(hub: &Hub, arguments: &[&str], endpoint: &str) -> Command {
    let mut command = hub.command(arguments);
    command
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        .env("OTEL_TRACES_SAMPLER_ARG", "1")
        .env("OTEL_BSP_SCHEDULE_DELAY", "100");
    command.env("COWRIESTREAM_REST_LISTEN", "127.0.0.1:0").env("COWRIESTREAM_GRPC_LISTEN", "127.0.0.1:0");
    command
}

fn roles(hub: &Hub, log: &str, endpoint: &str) -> Vec<Process> {
    let state = hub.dir.path().join("state");
    let loader = ["loader", "--sensor", "s", "--log", log, "--state-dir", state.to_str().unwrap()];
    let all: [&[&str]; 4] = [&loader, &["processor"], &["coordinator"], &["worker", "--name", "w"]];
    all.iter()
        .map(|arguments| {
            Process::start(
                &mut role(hub, arguments, endpoint),
                &hub.dir.path().join(format!("{}.err", arguments[0])),
            )
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_and_the_job_that_reacts_to_it_are_one_trace() {
    let hub = Hub::start().await;
    let (collector, port) = Collector::open().await;
    let mut writer = Writer::new(hub.dir.path().join("cowrie.json"));
    writer.append(10);
    let log = writer.path.to_str().unwrap().to_owned();
    let processes = roles(&hub, &log, &format!("http://{port}"));
    hub.wait_for_events(writer.events);
    let event = hub.psql("select replace(event_id::text, '-', '') from events limit 1").trim().to_owned();
    eventually("its way is traced", || {
        collector.span("publish", &event).is_some() && collector.span("keep", &event).is_some()
    });
    let (publish, keep) =
        (collector.span("publish", &event).unwrap(), collector.span("keep", &event).unwrap());
    // The processor knows the loader's span only from the header of the message.
    assert_eq!(
        (keep.parent.as_str(), publish.service.as_str(), keep.service.as_str()),
        (publish.span.as_str(), "cowriestream-loader", "cowriestream-processor")
    );

    let said = || fs::read_to_string(hub.dir.path().join("coordinator.err")).unwrap_or_default();
    eventually("the coordinator is ready", || said().contains("coordinator ready"));
    let grpc = said()
        .split_whitespace()
        .find_map(|word| word.strip_prefix("grpc=").map(|address| format!("http://{address}")))
        .unwrap();
    let traceparent = format!("00-{event}-{}-01", publish.span);
    let out = hub
        .command(&[
            "jobs",
            "submit",
            "diagnostic",
            "--param",
            "steps=0",
            "--traceparent",
            &traceparent,
            "--wait",
        ])
        .env("GRPC_URL", grpc)
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    eventually("the job is traced", || {
        collector.span("submit", &event).is_some() && collector.span("attempt", &event).is_some()
    });
    let (submit, attempt) =
        (collector.span("submit", &event).unwrap(), collector.span("attempt", &event).unwrap());
    assert_eq!(
        (submit.parent, attempt.parent, attempt.service),
        (publish.span, submit.span, "cowriestream-worker".to_owned())
    );
    drop(processes);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_delays_nothing() {
    let hub = Hub::start().await;
    let mut writer = Writer::new(hub.dir.path().join("cowrie.json"));
    writer.append(3_000);
    let log = writer.path.to_str().unwrap().to_owned();
    let mut processes = roles(&hub, &log, "http://127.0.0.1:9");
    hub.wait_for_events(writer.events);
    hub.wait_for_receipts(&writer.path);
    let stopped = Instant::now();
    processes.iter().for_each(|process| process.signal(Signal::TERM));
    assert!(processes.iter_mut().all(Process::end));
    assert!(stopped.elapsed() < Duration::from_secs(20), "{:?}", stopped.elapsed());
}
