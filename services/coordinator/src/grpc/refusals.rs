//! The status codes of what tonic refuses before a handler sees it.

use tonic::{
    Code,
    codegen::http::{HeaderValue, Response},
};

const STATUS: &str = "grpc-status";
const MESSAGE: &str = "grpc-message";
/// How tonic's message begins (percent-encoded) when a request is not a message of its type.
const NOT_DECODED: &[u8] = b"failed%20to%20decode%20Protobuf";

/// A message that is too large is OUT_OF_RANGE to tonic, and one that cannot be decoded is INTERNAL. Both are
/// the fault of the client: RESOURCE_EXHAUSTED and INVALID_ARGUMENT, as in `web`'s table of codes.
pub(super) fn with_code<B>(mut response: Response<B>) -> Response<B> {
    let headers = response.headers();
    let has = |code: Code| headers.get(STATUS).is_some_and(|value| value == HeaderValue::from(code as i32));
    let not_decoded = headers.get(MESSAGE).is_some_and(|text| text.as_bytes().starts_with(NOT_DECODED));
    let code = match () {
        () if has(Code::OutOfRange) => Code::ResourceExhausted,
        () if has(Code::Internal) && not_decoded => Code::InvalidArgument,
        () => return response,
    };
    response.headers_mut().insert(STATUS, HeaderValue::from(code as i32));
    response
}
