//! Fuzzes job requests: a request is refused with reasons, or it is within its limits and reads back from the
//! database unchanged.
#![no_main]

use fields::Name;
use jobs::{JobParameters, Request};

libfuzzer_sys::fuzz_target!(|text: &[u8]| {
    let Ok(body) = serde_json::from_slice(text) else { return };
    let now = chrono::DateTime::from_timestamp(1_790_000_000, 0).unwrap();
    match Request::read(body, now) {
        Err(errors) => assert!(!errors.is_empty()),
        Ok(request) => {
            assert!((1..=10).contains(&request.priority) && Name::is_valid(&request.queue));
            assert!(
                (1..=604_800).contains(&request.timeout_seconds) && (1..=100).contains(&request.max_attempts)
            );
            let parameters = &request.parameters;
            assert_eq!(
                JobParameters::stored(parameters.name(), parameters.to_value()).as_ref(),
                Ok(parameters)
            );
        }
    }
});
