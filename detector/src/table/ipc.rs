//! Arrow IPC streams: pictures come on one end, detections go on the other.

use std::io::{Read, Write};

use arrow_buffer::Buffer;
use arrow_ipc::reader::StreamDecoder;
use arrow_ipc::writer::StreamWriter;

use super::rows::{Columns, SCHEMA, detect};
use super::{TableOptions, Tally, guarded};
use crate::Detector;
use crate::error::Error;

/// Bytes that are read at a time, which is also what a message grows by: the length that a broken stream claims is not
/// believed.
const FOR_READING: usize = 1 << 20;

/// Rows of a batch of the output: a batch of more becomes several.
const MOST_ROWS: usize = 4096;

/// Detects in every picture of an Arrow IPC stream, and writes a stream with as many batches of as many rows, up to 4,096; each
/// goes out as soon as it is ready. Compressed streams are refused: pictures are compressed already, and what their buffers claim to
/// unpack to would have to be believed. `name` is what errors call the input; `tell` hears of every batch.
///
/// # Errors
/// [`Error::Table`] where the stream is broken, ends early, or has other columns; what came before it has been written.
/// [`Error::Io`] where reading or writing fails.
pub fn detect_ipc(
    detector: &Detector,
    mut input: impl Read,
    output: impl Write,
    name: &str,
    options: &TableOptions,
    tell: &mut dyn FnMut(Tally),
) -> Result<Tally, Error> {
    let io = |source| Error::Io { path: name.into(), source };
    let wrong = |reason: String| Error::Table { name: name.to_owned(), reason };
    let mut tally = Tally::default();
    let mut decoder = StreamDecoder::new();
    let mut writer = guarded("the output", || StreamWriter::try_new(output, &SCHEMA))?;
    let mut columns = None;
    let mut read = 0_u64;
    loop {
        let mut bytes = vec![0; FOR_READING];
        let length = match input.read(&mut bytes) {
            Ok(0) => break,
            Ok(length) => length,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(io(error)),
        };
        if read == 0 && bytes.starts_with(b"ARROW1") {
            return Err(wrong(
                "is an Arrow file; a stream is expected (pyarrow.ipc.new_stream writes one)".into(),
            ));
        }
        read += length as u64;
        bytes.truncate(length);
        let mut bytes = Buffer::from_vec(bytes);
        while !bytes.is_empty() {
            let at = |error: Error| match error {
                Error::Table { reason, .. } => wrong(format!("broken after {} rows: {reason}", tally.rows)),
                other => other,
            };
            let batch = guarded(name, || decoder.decode(&mut bytes)).map_err(at)?;
            if columns.is_none()
                && let Some(schema) = decoder.schema()
            {
                columns = Some(Columns::find(&schema).map_err(wrong)?);
            }
            let (Some(batch), Some(columns)) = (batch, columns) else { continue };
            let mut start = 0;
            // A batch without rows has an answer, too.
            while start < batch.num_rows().max(1) {
                let some = batch.slice(start, (batch.num_rows() - start).min(MOST_ROWS));
                let found = detect(detector, &some, columns, options, name, &mut tally)?;
                write(|| writer.write(&found).and_then(|()| writer.flush()))?;
                tell(tally);
                start += MOST_ROWS;
            }
        }
    }
    if read == 0 {
        return Err(wrong("is empty: an Arrow IPC stream begins with its schema".into()));
    }
    guarded(name, || decoder.finish())
        .map_err(|_| wrong(format!("ends in the middle of a message, after {} rows", tally.rows)))?;
    if columns.is_none() {
        return Err(wrong("has no schema".into()));
    }
    write(|| writer.finish())?;
    Ok(tally)
}

/// Writes; an error of the system stays one, so that a closed pipe is known as such.
fn write(call: impl FnOnce() -> Result<(), arrow_schema::ArrowError>) -> Result<(), Error> {
    use arrow_schema::ArrowError;
    let path = || "the output".into();
    match call() {
        Ok(()) => Ok(()),
        Err(ArrowError::IoError(_, source)) => Err(Error::Io { path: path(), source }),
        Err(error) => Err(Error::Table { name: "the output".into(), reason: error.to_string() }),
    }
}
