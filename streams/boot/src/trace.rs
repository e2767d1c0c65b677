//! Traces: exports spans to the OpenTelemetry collector that `OTEL_EXPORTER_OTLP_ENDPOINT` names. Without the
//! variable or the feature `otlp`, nothing is exported.
//!
//! A slow or unreachable collector delays nothing: spans wait in a bounded queue (`OTEL_BSP_MAX_QUEUE_SIZE`),
//! and are dropped when it is full.

#[cfg(feature = "otlp")]
use opentelemetry::{
    Context, KeyValue, SpanId, TraceFlags, TraceId,
    trace::{Span as _, SpanContext, TraceContextExt as _, TraceState, Tracer as _, TracerProvider as _},
};

/// A span that ends when it is dropped. Cheap when nothing is traced.
#[derive(Default)]
pub struct Span {
    #[cfg(feature = "otlp")]
    span: Option<opentelemetry_sdk::trace::Span>,
}

#[cfg(feature = "otlp")]
mod exporting {
    use std::sync::OnceLock;

    use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};

    pub struct Exporting {
        pub provider: SdkTracerProvider,
        pub tracer: SdkTracer,
        /// An event is traced if the first 64 bits of its id are below this.
        pub below: u64,
    }

    pub static EXPORTING: OnceLock<Exporting> = OnceLock::new();
}
#[cfg(feature = "otlp")]
use exporting::{EXPORTING, Exporting};

/// Share of events that are traced, unless `OTEL_TRACES_SAMPLER_ARG` is set.
#[cfg(feature = "otlp")]
const SHARE: f64 = 0.001;

/// Starts the export, as `cowriestream-<role>` unless `OTEL_SERVICE_NAME` is set. Does nothing when no
/// collector is named. Call within the runtime.
#[cfg(feature = "otlp")]
pub fn export_traces(role: &str) -> anyhow::Result<()> {
    use anyhow::Context as _;
    let Some(endpoint) =
        std::env::var("OTEL_EXPORTER_OTLP_ENDPOINT").ok().filter(|endpoint| !endpoint.is_empty())
    else {
        return Ok(());
    };
    let share = match std::env::var("OTEL_TRACES_SAMPLER_ARG").ok().filter(|share| !share.is_empty()) {
        None => SHARE,
        Some(text) => match text.parse::<f64>() {
            Ok(share) if (0.0..=1.0).contains(&share) => share,
            _ => anyhow::bail!(
                "OTEL_TRACES_SAMPLER_ARG={text:?}: expected the share of events to trace, 0 to 1"
            ),
        },
    };
    let exporter = opentelemetry_otlp::SpanExporter::builder().with_tonic().build();
    let exporter = exporter.with_context(|| {
        format!("read OTEL_EXPORTER_OTLP_ENDPOINT={endpoint:?}: expected e.g. http://127.0.0.1:4317")
    })?;
    let name = std::env::var("OTEL_SERVICE_NAME")
        .ok()
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| format!("cowriestream-{role}"));
    let resource = opentelemetry_sdk::Resource::builder().with_service_name(name).build();
    let provider = opentelemetry_sdk::trace::SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(resource)
        .build();
    let tracer = provider.tracer("cowriestream");
    // A cast saturates.
    let exporting = Exporting { provider, tracer, below: (share * 2.0_f64.powi(64)) as u64 };
    EXPORTING.set(exporting).map_err(|_| anyhow::anyhow!("traces are exported already"))
}

/// Without the feature `otlp` there is nothing to do.
#[cfg(not(feature = "otlp"))]
pub fn export_traces(_role: &str) -> anyhow::Result<()> {
    Ok(())
}

/// Exports the remaining spans; takes at most `limit`.
pub(crate) async fn end_traces(_limit: std::time::Duration) {
    #[cfg(feature = "otlp")]
    if let Some(exporting) = EXPORTING.get() {
        let end = tokio::task::spawn_blocking(move || exporting.provider.shutdown_with_timeout(_limit));
        if let Ok(Err(error)) = end.await {
            tracing::debug!(%error, "the last spans were not exported");
        }
    }
}

/// Whether an event is traced. All processes with the same settings give the same answer for the same event.
pub fn traces_event(_event_id: [u8; 16]) -> bool {
    #[cfg(feature = "otlp")]
    if let Some(exporting) = EXPORTING.get() {
        let [a, b, c, d, e, f, g, h, ..] = _event_id;
        return exporting.below == u64::MAX || u64::from_be_bytes([a, b, c, d, e, f, g, h]) < exporting.below;
    }
    false
}

/// The trace of an event, as a W3C traceparent. The trace id is the event id, so that a line that is
/// published again belongs to the same trace.
pub fn trace_of_event(event_id: [u8; 16]) -> String {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    format!("00-{}-{}-01", hex(&event_id), hex(&event_id[8..]))
}

/// Starts a span, within the given W3C traceparent if it is valid, otherwise as the root of a trace.
pub fn span(_name: &'static str, _traceparent: Option<&str>) -> Span {
    #[cfg(feature = "otlp")]
    if let Some(exporting) = EXPORTING.get() {
        let parent = _traceparent
            .and_then(read)
            .map_or_else(Context::new, |parent| Context::new().with_remote_span_context(parent));
        return Span {
            span: Some(
                exporting
                    .tracer
                    .build_with_context(opentelemetry::trace::SpanBuilder::from_name(_name), &parent),
            ),
        };
    }
    Span::default()
}

#[cfg(feature = "otlp")]
fn read(traceparent: &str) -> Option<SpanContext> {
    let mut parts = traceparent.split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    if version.len() != 2
        || trace.len() != 32
        || span.len() != 16
        || flags.len() != 2
        || (version == "00" && parts.next().is_some())
    {
        return None;
    }
    let flags = TraceFlags::new(u8::from_str_radix(flags, 16).ok()? & 1);
    let context = SpanContext::new(
        TraceId::from_hex(trace).ok()?,
        SpanId::from_hex(span).ok()?,
        flags,
        true,
        TraceState::default(),
    );
    context.is_valid().then_some(context)
}

impl Span {
    /// Adds an attribute: ids, counts, names of closed sets; never text from an attacker.
    pub fn note(&mut self, _name: &'static str, _value: impl std::fmt::Display) {
        #[cfg(feature = "otlp")]
        if let Some(span) = &mut self.span {
            span.set_attribute(KeyValue::new(_name, _value.to_string()));
        }
    }

    /// The span as a W3C traceparent, for spans within it; `None` when nothing is traced.
    pub fn traceparent(&self) -> Option<String> {
        #[cfg(feature = "otlp")]
        if let Some(span) = &self.span {
            let context = span.span_context();
            return Some(format!(
                "00-{}-{}-{:02x}",
                context.trace_id(),
                context.span_id(),
                context.trace_flags().to_u8()
            ));
        }
        None
    }
}

#[cfg(all(test, feature = "otlp"))]
mod tests {
    #[test]
    fn only_a_traceparent_is_read() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert!(super::read(good).is_some_and(|context| context.is_sampled()));
        assert!(super::read(&super::trace_of_event([7; 16])).is_some());
        for bad in [
            "",
            "00-0-0-01",
            &good[1..],
            &format!("{good}-x"),
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473é-00f067aa0ba902b7-01",
        ] {
            assert!(super::read(bad).is_none(), "{bad}");
        }
    }
}
