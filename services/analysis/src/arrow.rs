//! Reads and writes the data set as an Arrow file, which other tools can read. Each session is one row; a
//! string that many sessions share is repeated in each row.

use std::{io::Write, net::IpAddr, sync::Arc};

use arrow_array::{
    Array, ArrayRef, BooleanArray, FixedSizeBinaryArray, FixedSizeListArray, Float32Array, Float64Array,
    ListArray, RecordBatch, StringArray, StructArray, TimestampMicrosecondArray, UInt64Array,
    cast::AsArray,
    types::{Float32Type, Float64Type, TimestampMicrosecondType, UInt64Type},
};
use arrow_buffer::{Buffer, OffsetBuffer};
use arrow_ipc::{
    Block,
    convert::try_fb_to_schema,
    reader::{FileDecoder, read_footer_length},
    root_as_footer,
    writer::FileWriter,
};
use arrow_schema::{ArrowError, DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use events::features::LENGTH;

use crate::data::{Data, DataBuilder, Row, Session, Text};

/// Largest number of sessions in a batch.
const BATCH: usize = 8_192;
/// Approximate bytes of text in a batch. String offsets have 31 bits, and one session has less than a tenth
/// of that.
const MOST_TEXT: usize = 256 << 20;
/// Largest number of rows of any column of a batch; ours have fewer.
const MOST_LINES: i64 = 1 << 28;

/// The format requires every buffer to be aligned to this many bytes.
const ALIGNMENT: usize = 8;

/// Why a file was not written or read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Error(String);

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

impl From<ArrowError> for Error {
    fn from(error: ArrowError) -> Self {
        Self(format!("Arrow file: {error}"))
    }
}

fn damaged(what: &str) -> Error {
    Error(format!("Arrow file: {what}"))
}

fn login_fields() -> Fields {
    Fields::from(vec![
        Field::new("username", DataType::Utf8, false),
        Field::new("password", DataType::Utf8, true),
        Field::new("success", DataType::Boolean, false),
    ])
}

fn item(kind: DataType) -> Arc<Field> {
    Arc::new(Field::new("item", kind, false))
}

fn schema() -> SchemaRef {
    let Schema { fields, .. } = earlier_schema().as_ref().clone();
    let texts = |name| Arc::new(Field::new(name, DataType::List(item(DataType::Utf8)), false));
    Arc::new(Schema::new(fields.iter().cloned().chain(LATER.map(texts)).collect::<Vec<_>>()))
}

/// Columns that files of earlier versions do not have; they are read as empty.
const LATER: [&str; 2] = ["targets", "keys"];

/// The columns of earlier versions.
fn earlier_schema() -> SchemaRef {
    let texts = || DataType::List(item(DataType::Utf8));
    let microseconds = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![
        Field::new("sensor", DataType::Utf8, false),
        Field::new("session", DataType::Utf8, false),
        Field::new("source", DataType::Utf8, true),
        Field::new("started", microseconds, false),
        Field::new("seconds", DataType::Float64, false),
        Field::new("client", DataType::Utf8, true),
        Field::new("hassh", DataType::Utf8, true),
        Field::new("logins", DataType::List(item(DataType::Struct(login_fields()))), false),
        Field::new("inputs", texts(), false),
        Field::new("sequence", DataType::FixedSizeBinary(16), true),
        Field::new("sequence_length", DataType::UInt64, true),
        Field::new("commands", DataType::Utf8, true),
        Field::new("files", texts(), false),
        Field::new("urls", texts(), false),
        Field::new("vector", DataType::FixedSizeList(item(DataType::Float32), LENGTH as i32), false),
    ]))
}

/// Writes all sessions, in their order.
pub fn write(data: &Data, to: impl Write) -> Result<(), Error> {
    let mut file = FileWriter::try_new(to, &schema())?;
    let mut rest = data.sessions.as_slice();
    while !rest.is_empty() {
        let (mut bytes, mut count) = (0, 0);
        while count < rest.len().min(BATCH) && bytes < MOST_TEXT {
            bytes += text_bytes(data, &rest[count]);
            count += 1;
        }
        let (batch, after) = rest.split_at(count);
        file.write(&columns(data, batch)?)?;
        rest = after;
    }
    file.finish()?;
    Ok(())
}

fn text_bytes(data: &Data, session: &Session) -> usize {
    let lists = [
        data.inputs(session),
        data.files(session),
        data.urls(session),
        data.targets(session),
        data.keys(session),
    ]
    .into_iter()
    .flatten()
    .copied();
    let logins =
        data.logins(session).iter().flat_map(|login| [Some(login.username), login.password]).flatten();
    let commands = data.sequence(session).map_or(0, |sequence| sequence.commands.len());
    lists.chain(logins).map(|text| data.text(text).len()).sum::<usize>() + commands
}

fn columns(data: &Data, sessions: &[Session]) -> Result<RecordBatch, Error> {
    let each = || sessions.iter();
    let sequences = || each().map(|session| data.sequence(session));
    let vectors =
        Float32Array::from_iter_values(each().flat_map(|session| data.vector(session).iter().copied()));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(each().map(|session| data.text(session.sensor)))),
        Arc::new(StringArray::from_iter_values(each().map(|session| data.text(session.session)))),
        Arc::new(
            each().map(|session| session.source.map(|source| source.to_string())).collect::<StringArray>(),
        ),
        Arc::new(
            TimestampMicrosecondArray::from_iter_values(each().map(|session| session.started))
                .with_timezone("UTC"),
        ),
        Arc::new(Float64Array::from_iter_values(each().map(|session| session.seconds))),
        Arc::new(
            each().map(|session| session.client.map(|client| data.text(client))).collect::<StringArray>(),
        ),
        Arc::new(each().map(|session| session.hassh.map(|hassh| data.text(hassh))).collect::<StringArray>()),
        logins(data, sessions)?,
        texts(data, &each().map(|session| data.inputs(session)).collect::<Vec<_>>())?,
        Arc::new(FixedSizeBinaryArray::try_from_sparse_iter_with_size(
            sequences().map(|sequence| sequence.map(|sequence| sequence.fingerprint)),
            16,
        )?),
        Arc::new(
            sequences()
                .map(|sequence| sequence.map(|sequence| sequence.length as u64))
                .collect::<UInt64Array>(),
        ),
        Arc::new(
            sequences()
                .map(|sequence| sequence.map(|sequence| sequence.commands.as_str()))
                .collect::<StringArray>(),
        ),
        texts(data, &each().map(|session| data.files(session)).collect::<Vec<_>>())?,
        texts(data, &each().map(|session| data.urls(session)).collect::<Vec<_>>())?,
        Arc::new(FixedSizeListArray::try_new(
            item(DataType::Float32),
            LENGTH as i32,
            Arc::new(vectors),
            None,
        )?),
        texts(data, &each().map(|session| data.targets(session)).collect::<Vec<_>>())?,
        texts(data, &each().map(|session| data.keys(session)).collect::<Vec<_>>())?,
    ];
    Ok(RecordBatch::try_new(schema(), columns)?)
}

fn texts(data: &Data, lists: &[&[Text]]) -> Result<ArrayRef, ArrowError> {
    let values = StringArray::from_iter_values(lists.iter().copied().flatten().map(|&text| data.text(text)));
    Ok(Arc::new(ListArray::try_new(
        item(DataType::Utf8),
        OffsetBuffer::from_lengths(lists.iter().map(|list| list.len())),
        Arc::new(values),
        None,
    )?))
}

fn logins(data: &Data, sessions: &[Session]) -> Result<ArrayRef, ArrowError> {
    let all = || sessions.iter().flat_map(|session| data.logins(session));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(all().map(|login| data.text(login.username)))),
        Arc::new(
            all().map(|login| login.password.map(|password| data.text(password))).collect::<StringArray>(),
        ),
        Arc::new(all().map(|login| Some(login.success)).collect::<BooleanArray>()),
    ];
    let values = StructArray::try_new(login_fields(), columns, None)?;
    let offsets = OffsetBuffer::from_lengths(sessions.iter().map(|session| data.logins(session).len()));
    Ok(Arc::new(ListArray::try_new(item(DataType::Struct(login_fields())), offsets, Arc::new(values), None)?))
}

/// Reads a file that [`write`] wrote, and refuses a damaged one. Every value is checked before use, and
/// memory stays within a few times the size of the file.
pub fn read(bytes: &[u8]) -> Result<Data, Error> {
    let file = Buffer::from(bytes);
    let trailer = bytes.len().checked_sub(10).ok_or_else(|| damaged("too short"))?;
    let length = read_footer_length(bytes[trailer..].try_into().map_err(|_| damaged("too short"))?)?;
    let from = trailer.checked_sub(length).ok_or_else(|| damaged("its footer is longer than the file"))?;
    let footer = root_as_footer(&bytes[from..trailer])
        .map_err(|error| damaged(&format!("its footer is damaged: {error}")))?;
    let found = try_fb_to_schema(footer.schema().ok_or_else(|| damaged("it has no schema"))?)?;
    let columns = if found.field_with_name(LATER[0]).is_ok() { schema() } else { earlier_schema() };
    same_columns(&found, &columns)?;
    let units = units(&columns);
    if footer.dictionaries().is_some_and(|dictionaries| !dictionaries.is_empty()) {
        return Err(damaged("it has dictionaries, which this program does not write"));
    }
    let decoder = FileDecoder::new(columns, footer.version());
    let mut builder = DataBuilder::default();
    for block in footer.recordBatches().into_iter().flatten() {
        let part = checked(&file, block, &units)?;
        if let Some(batch) = decoder.read_record_batch(block, &part)? {
            push(&mut builder, &batch)?;
        }
    }
    Ok(builder.build())
}

fn same_columns(found: &Schema, expected: &Schema) -> Result<(), Error> {
    for field in expected.fields() {
        match found.field_with_name(field.name()) {
            Ok(other) if other == field.as_ref() => {}
            Ok(other) => {
                return Err(damaged(&format!(
                    "column {} is {}, not {}",
                    field.name(),
                    other.data_type(),
                    field.data_type()
                )));
            }
            Err(_) => return Err(damaged(&format!("column {} is missing", field.name()))),
        }
    }
    if found.fields() == expected.fields() {
        Ok(())
    } else {
        Err(damaged("its columns are in another order, or it has unknown columns"))
    }
}

/// Returns the bytes of a batch after checking that every range in its header lies within the batch: the
/// decoder below panics on one that does not.
fn checked(file: &Buffer, block: &Block, units: &[i64]) -> Result<Buffer, Error> {
    let wrong = || damaged("a batch lies outside of the file");
    let number = |value: i64| usize::try_from(value).map_err(|_| wrong());
    let (offset, head, body) =
        (number(block.offset())?, number(i64::from(block.metaDataLength()))?, number(block.bodyLength())?);
    let length = head.checked_add(body).ok_or_else(wrong)?;
    if offset.checked_add(length).is_none_or(|end| end > file.len())
        || head < 8
        || !offset.is_multiple_of(ALIGNMENT)
        || !head.is_multiple_of(ALIGNMENT)
    {
        return Err(wrong());
    }
    let part = file.slice_with_length(offset, length);
    // Skip what the decoder skips: the length, and a marker before it if there is one.
    let skip = if part[..4] == [0xff; 4] { 8 } else { 4 };
    let message = arrow_ipc::root_as_message(&part[skip..])
        .map_err(|error| damaged(&format!("the header of a batch is damaged: {error}")))?;
    let batch = message.header_as_record_batch().ok_or_else(|| damaged("a block is not a record batch"))?;
    if batch.compression().is_some() {
        return Err(damaged("it is compressed, which this program does not write"));
    }
    let within = |from: i64, length: i64| {
        from >= 0
            && length >= 0
            && from % ALIGNMENT as i64 == 0
            && from.checked_add(length).is_some_and(|end| end <= body as i64)
    };
    let whole = |(buffer, unit): (&arrow_ipc::Buffer, &i64)| {
        within(buffer.offset(), buffer.length()) && buffer.length() % unit == 0
    };
    let buffers = batch
        .buffers()
        .is_some_and(|buffers| buffers.len() == units.len() && buffers.iter().zip(units).all(whole));
    let nodes = batch.nodes().is_some_and(|nodes| {
        nodes.iter().all(|node| {
            (0..=MOST_LINES).contains(&node.length()) && (0..=node.length()).contains(&node.null_count())
        })
    });
    if buffers && nodes && (0..=MOST_LINES).contains(&batch.length()) {
        Ok(part)
    } else {
        Err(damaged("a column lies outside of its batch"))
    }
}

/// Returns, for each buffer of a batch in order, the bytes of one element.
fn units(columns: &Schema) -> Vec<i64> {
    fn add(kind: &DataType, units: &mut Vec<i64>) {
        // The first buffer is the null bitmap, counted in bits.
        units.push(1);
        match kind {
            DataType::Utf8 => units.extend([4, 1]),
            DataType::List(item) => {
                units.push(4);
                add(item.data_type(), units);
            }
            DataType::FixedSizeList(item, _) => add(item.data_type(), units),
            DataType::Struct(fields) => fields.iter().for_each(|field| add(field.data_type(), units)),
            other => units.push(other.primitive_width().map_or(1, |width| width as i64)),
        }
    }
    let mut units = Vec::new();
    columns.fields().iter().for_each(|field| add(field.data_type(), &mut units));
    units
}

fn push(builder: &mut DataBuilder, batch: &RecordBatch) -> Result<(), Error> {
    let wrong = || damaged("a column has another type");
    let column = |name: &str| batch.column_by_name(name).ok_or_else(wrong);
    let texts = |name: &str| column(name)?.as_string_opt::<i32>().ok_or_else(wrong);
    let lists = |name: &str| column(name)?.as_list_opt::<i32>().ok_or_else(wrong);
    let (sensors, sessions, sources, clients, hasshs, commands) = (
        texts("sensor")?,
        texts("session")?,
        texts("source")?,
        texts("client")?,
        texts("hassh")?,
        texts("commands")?,
    );
    let started = column("started")?.as_primitive_opt::<TimestampMicrosecondType>().ok_or_else(wrong)?;
    let seconds = column("seconds")?.as_primitive_opt::<Float64Type>().ok_or_else(wrong)?;
    let lengths = column("sequence_length")?.as_primitive_opt::<UInt64Type>().ok_or_else(wrong)?;
    let sequences = column("sequence")?.as_fixed_size_binary_opt().ok_or_else(wrong)?;
    let vectors = column("vector")?.as_fixed_size_list_opt().ok_or_else(wrong)?;
    let (logins, inputs, files, urls) = (lists("logins")?, lists("inputs")?, lists("files")?, lists("urls")?);
    let [targets, keys] =
        LATER.map(|name| batch.column_by_name(name).and_then(|column| column.as_list_opt::<i32>()));
    for row in 0..batch.num_rows() {
        let source = optional(sources, row).map(str::parse::<IpAddr>).transpose();
        let vector = vectors.value(row);
        let (login, input, file, url) =
            (logins.value(row), inputs.value(row), files.value(row), urls.value(row));
        let [targets, keys] = [targets, keys].map(|lists| lists.map(|lists| lists.value(row)));
        let fingerprint: Option<[u8; 16]> =
            if sequences.is_valid(row) { sequences.value(row).try_into().ok() } else { None };
        builder.push(&Row {
            sensor: sensors.value(row),
            session: sessions.value(row),
            source: source.map_err(|_| damaged("a source is not an address"))?,
            started: started.value(row),
            seconds: seconds.value(row),
            client: optional(clients, row),
            hassh: optional(hasshs, row),
            logins: login_rows(login.as_struct_opt().ok_or_else(wrong)?).ok_or_else(wrong)?,
            inputs: strings(&input).ok_or_else(wrong)?,
            sequence: fingerprint.map(|fingerprint| {
                (fingerprint, usize::try_from(lengths.value(row)).unwrap_or(usize::MAX), commands.value(row))
            }),
            files: strings(&file).ok_or_else(wrong)?,
            urls: strings(&url).ok_or_else(wrong)?,
            targets: targets.as_ref().map_or(Some(Vec::new()), strings).ok_or_else(wrong)?,
            keys: keys.as_ref().map_or(Some(Vec::new()), strings).ok_or_else(wrong)?,
            vector: vector.as_primitive_opt::<Float32Type>().ok_or_else(wrong)?.values(),
        });
    }
    Ok(())
}

fn optional(texts: &StringArray, row: usize) -> Option<&str> {
    texts.is_valid(row).then(|| texts.value(row))
}

fn strings(texts: &ArrayRef) -> Option<Vec<&str>> {
    let texts = texts.as_string_opt::<i32>()?;
    Some((0..texts.len()).map(|row| texts.value(row)).collect())
}

fn login_rows(logins: &StructArray) -> Option<Vec<(&str, Option<&str>, bool)>> {
    let (usernames, passwords) =
        (logins.column(0).as_string_opt::<i32>()?, logins.column(1).as_string_opt::<i32>()?);
    let success = logins.column(2).as_boolean_opt()?;
    Some(
        (0..logins.len())
            .map(|row| (usernames.value(row), optional(passwords, row), success.value(row)))
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data() -> Data {
        let mut builder = DataBuilder::default();
        for n in 0..9_000_usize {
            let name = format!("{n:08x}");
            builder.push(&Row {
                sensor: "köln",
                session: &name,
                source: (n % 3 > 0).then(|| IpAddr::from([203, 0, 113, (n % 256) as u8])),
                started: 1_700_000_000_000_000 + n as i64,
                seconds: n as f64 / 7.0,
                client: (n % 2 == 0).then_some("SSH-2.0-Go"),
                hassh: None,
                logins: vec![("root", Some("a\0b"), false), ("root", None, n % 5 == 0)][..n % 3].to_vec(),
                inputs: vec!["uname -a", "", "echo 'é'"][..n % 4].to_vec(),
                sequence: (n % 4 > 0).then_some(([(n % 7) as u8; 16], 3, "uname\n\necho")),
                files: vec!["00"; n % 2],
                urls: vec![],
                targets: vec!["ya.ru:80", "192.0.2.1:443"][..n % 3 % 2].to_vec(),
                keys: vec!["aa:bb"; n % 2],
                vector: &[n as f32; LENGTH],
            });
        }
        builder.build()
    }

    fn written(data: &Data) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(data, &mut bytes).unwrap();
        bytes
    }

    fn listed(data: &Data) -> Vec<String> {
        let texts = |texts: &[Text]| texts.iter().map(|&text| data.text(text)).collect::<Vec<_>>().join("|");
        let line = |session: &Session| {
            let logins: Vec<_> = data
                .logins(session)
                .iter()
                .map(|login| {
                    (data.text(login.username), login.password.map(|text| data.text(text)), login.success)
                })
                .collect();
            let named = (
                data.name(session),
                session.source,
                session.started,
                session.seconds,
                session.client.map(|text| data.text(text)),
            );
            let lists = [
                data.inputs(session),
                data.files(session),
                data.urls(session),
                data.targets(session),
                data.keys(session),
            ]
            .map(texts);
            format!("{named:?} {logins:?} {lists:?} {:?} {:?}", data.sequence(session), data.vector(session))
        };
        data.sessions.iter().map(line).collect()
    }

    #[test]
    fn what_is_read_is_what_was_written() {
        let data = data();
        assert_eq!(listed(&read(&written(&data)).unwrap()), listed(&data));
        assert!(read(&written(&Data::default())).unwrap().sessions.is_empty());
    }

    #[test]
    fn a_file_of_an_earlier_version_is_read_without_the_columns_that_it_has_not() {
        let data = data();
        let columns = columns(&data, &data.sessions[..5]).unwrap().columns()
            [..earlier_schema().fields().len()]
            .to_vec();
        let mut bytes = Vec::new();
        let mut file = FileWriter::try_new(&mut bytes, &earlier_schema()).unwrap();
        file.write(&RecordBatch::try_new(earlier_schema(), columns).unwrap()).unwrap();
        file.finish().unwrap();
        drop(file);
        let read = read(&bytes).unwrap();
        assert!(
            read.sessions.len() == 5
                && read
                    .sessions
                    .iter()
                    .all(|session| read.targets(session).is_empty() && read.keys(session).is_empty())
        );
    }

    #[test]
    fn a_damaged_file_is_refused_or_read_but_never_a_panic() {
        let mut builder = DataBuilder::default();
        let row = Row {
            sensor: "s",
            session: "a",
            logins: vec![("u", Some("p"), true)],
            inputs: vec!["x"],
            sequence: Some(([1; 16], 1, "x")),
            ..Row::default()
        };
        builder.push(&row);
        let whole = written(&builder.build());
        for cut in 0..whole.len() {
            assert!(read(&whole[..cut]).is_err(), "cut at {cut}");
        }
        for at in 0..whole.len() {
            for byte in [0, 1, 0x7f, 0x80, 0xff, whole[at] ^ 4] {
                let mut bytes = whole.clone();
                bytes[at] = byte;
                let _ = read(&bytes);
            }
        }
    }

    #[test]
    fn another_file_is_refused_with_a_reason() {
        let other = Arc::new(Schema::new(vec![Field::new("sensor", DataType::Int32, false)]));
        let mut bytes = Vec::new();
        FileWriter::try_new(&mut bytes, &other).unwrap().finish().unwrap();
        assert!(read(&bytes).unwrap_err().to_string().contains("column sensor is Int32, not Utf8"));
        assert!(
            read(b"{\"eventid\": \"cowrie.session.connect\"}")
                .unwrap_err()
                .to_string()
                .contains("correct footer")
        );
    }
}
