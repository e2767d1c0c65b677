//! The key that goes with each call.

use anyhow::Context as _;
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::Interceptor,
};

/// Adds `x-api-key` to each call, when there is a key.
#[derive(Clone)]
pub(super) struct ApiKey(Option<MetadataValue<Ascii>>);

impl ApiKey {
    pub fn new(key: Option<&str>) -> anyhow::Result<Self> {
        let value = |key: &str| -> anyhow::Result<_> {
            let mut value: MetadataValue<Ascii> =
                key.parse().ok().context("API_KEY is not a key: expected csk_…")?;
            value.set_sensitive(true);
            Ok(value)
        };
        Ok(Self(key.map(value).transpose()?))
    }
}

impl Interceptor for ApiKey {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(key) = &self.0 {
            request.metadata_mut().insert("x-api-key", key.clone());
        }
        Ok(request)
    }
}
