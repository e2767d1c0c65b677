//! Rows in the binary format of COPY: `https://www.postgresql.org/docs/current/sql-copy.html`.

use sqlx::PgConnection;

use crate::Failure;

/// Bytes sent at a time.
const BUFFER: usize = 64 << 10;
/// The type of `bigint`.
pub(crate) const INT8: i32 = 20;
/// The type of `real`.
pub(crate) const FLOAT4: i32 = 700;

/// Adds rows; `encode` writes the number of fields (16 bits) and the fields of one.
pub(crate) async fn rows<T>(
    on: &mut PgConnection,
    statement: &str,
    rows: impl Iterator<Item = Result<T, Failure>>,
    encode: impl Fn(&mut Vec<u8>, T),
) -> Result<(), Failure> {
    let mut copy = on.copy_in_raw(statement).await?;
    let mut buffer = Vec::with_capacity(BUFFER + 4_096);
    buffer.extend(b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0");
    for row in rows {
        encode(&mut buffer, row?);
        if buffer.len() >= BUFFER {
            copy.send(buffer.as_slice()).await?;
            buffer.clear();
        }
    }
    buffer.extend((-1_i16).to_be_bytes());
    copy.send(buffer.as_slice()).await?;
    copy.finish().await?;
    Ok(())
}

/// A value.
pub(crate) fn field(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend((bytes.len() as i32).to_be_bytes());
    out.extend(bytes);
}

pub(crate) fn null(out: &mut Vec<u8>) {
    out.extend((-1_i32).to_be_bytes());
}

/// An array of values of one size and of the type with this number.
pub(crate) fn array<const N: usize>(out: &mut Vec<u8>, of: i32, values: impl ExactSizeIterator<Item = [u8; N]>) {
    let count = values.len() as i32;
    out.extend((20 + (4 + N as i32) * count).to_be_bytes());
    for part in [1, 0, of, count, 1] {
        out.extend(part.to_be_bytes());
    }
    values.for_each(|value| field(out, &value));
}
